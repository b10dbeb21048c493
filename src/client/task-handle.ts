import { setTimeout as delay } from 'node:timers/promises';
import type { Client, WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import {
  closeSignal,
  decidePermissionUpdate,
  interruptSignal,
  rulesQuery,
  setRulesSignal,
  stateQuery,
  type Behavior,
  type CodexTaskResult,
  type PermissionDecision,
  type TaskMessage,
  type TaskStatus,
} from '../contract/index.js';
import { TaskError } from '../errors.js';
import { taskPassword } from '../listener-secret.js';
import { parseDecision } from '../input/parse-task-input.js';
import { createView, type View } from '../view/index.js';
import { followEvents, type EventPlace, type FollowOptions } from './follow-events.js';
import { basicAuthorization, type TaskListener } from './listener.js';
import { openPermissions, type OpenPermission, type PermissionOptions } from './open-permissions.js';
import { lookingClient } from './looking-client.js';
import { sendMessage } from './send-message.js';
import type { TaskEvent } from './sse.js';
import { taskRules, type TaskRules } from './task-rules.js';
import { askTemporal, translated, untilTaken } from './task-calls.js';
import { taskFiles, type TaskFiles } from './task-files.js';

/** One task, running or ended. Every method fails with a TaskError. */
export interface TaskHandle<Output = unknown> {
  readonly taskId: string;
  status(): Promise<TaskStatus>;
  /** Temporal's own view: times, run id, whether it has ended. */
  describe(): Promise<WorkflowExecutionDescription>;
  /** Waits for the end. @throws TaskError with the code the task failed with, `Cancelled` included */
  result(): Promise<CodexTaskResult<Output>>;
  /**
   * Accepted once by its message id; over 64 KiB it goes to the listener.
   * @throws TaskError `NotFound` when the task is closing or has ended
   */
  sendMessage(text: string, options?: Partial<Omit<TaskMessage, 'text'>>): Promise<{ messageId: string }>;
  interrupt(): Promise<void>;
  close(): Promise<void>;
  /** @throws TaskError `BadInput` with the task's words when it refuses the decision */
  decide(decision: PermissionDecision): Promise<{ requestId: string; behavior: Behavior }>;
  cancel(): Promise<void>;
  /** Where the task's listener is now. @throws TaskError `Unavailable` while no host has the task */
  listener(): Promise<TaskListener>;
  /** Rules for requests, while the task runs. */
  readonly rules: TaskRules;
  /** Files of its workdir, by the listener. */
  readonly files: TaskFiles;
  /** Each request for a permission once, as it opens, until the task ends; by queries, without the listener. */
  permissions(options?: PermissionOptions): AsyncGenerator<OpenPermission>;
  /** Every event from `lastEventId` on until the task is closed, across restarts and moves. */
  events(options?: FollowOptions): AsyncGenerator<TaskEvent>;
  /** The task as all its events tell of it: one view that grows, given after each event until the task is closed. */
  view(options?: Omit<FollowOptions, 'lastEventId'>): AsyncGenerator<View>;
}

/** Temporal's names of an execution that is over. */
const ENDED: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT'];

/** A handle on the latest run of a task. `secret` is the listener's; without it there is no listener. */
export function taskHandle<Output>(
  client: Client,
  taskId: string,
  secret: string | undefined,
): TaskHandle<Output> {
  const workflow: WorkflowHandle = client.workflow.getHandle(taskId);
  const ask = <T>(run: () => Promise<T>): Promise<T> => askTemporal(client, taskId, run);
  const describe = () => ask(() => lookingClient(client).workflow.getHandle(taskId).describe());
  const status = () =>
    untilTaken(
      () => ask(() => workflow.query(stateQuery)),
      async (error) => {
        if ((await describe()).status.name !== 'RUNNING') throw unknownState(taskId, error);
      },
    );
  const password = () => {
    if (secret !== undefined) return taskPassword(secret, taskId);
    throw new TaskError(
      'BadInput',
      'The listener needs its secret: give listenerSecret (CODEX_TASK_LISTENER_SECRET)',
    );
  };
  const listener = async (): Promise<TaskListener> => {
    const access = { taskId, username: 'optio', password: password() } as const;
    const { listener: place, state } = await status();
    if (place) return { ...access, url: place.url };
    throw new TaskError('Unavailable', `Task ${taskId} has no listener: it is ${state}`);
  };

  const decide = async (decision: PermissionDecision) => {
    const args: [PermissionDecision] = [parseDecision(decision)];
    return untilTaken(() => ask(() => workflow.executeUpdate(decidePermissionUpdate, { args })));
  };
  const hasEnded = async () => ENDED.includes((await describe()).status.name);

  async function* events(options?: FollowOptions): AsyncGenerator<TaskEvent> {
    const authorization = basicAuthorization(password());
    yield* followEvents({ taskId, authorization, locate: () => locate(describe, status, taskId) }, options);
  }

  return {
    taskId,
    status,
    describe,
    listener,
    result: () => translated(taskId, () => workflow.result() as Promise<CodexTaskResult<Output>>),
    interrupt: () => ask(() => workflow.signal(interruptSignal)),
    close: () => ask(() => workflow.signal(closeSignal)),
    async cancel() {
      await ask(() => workflow.cancel());
    },
    decide,
    sendMessage: (text, options) => sendMessage({ client, workflow, listener }, { ...options, text }),
    rules: taskRules({
      ask: () => untilTaken(() => ask(() => workflow.query(rulesQuery))),
      change: (change) => ask(() => workflow.signal(setRulesSignal, change)),
    }),
    files: taskFiles(listener),
    permissions: (options) => openPermissions({ status, decide, hasEnded }, options),
    events,
    async *view(options) {
      const view = createView();
      for await (const event of events(options)) {
        view.apply(event);
        yield view;
      }
    },
  };
}

/** How long a worker that is being started may take until it can say where an ended task was. Milliseconds. */
const WORKER_MS = 30_000;
const RETRY_MS = 1_000;

async function locate(
  describe: TaskHandle['describe'],
  status: TaskHandle['status'],
  taskId: string,
): Promise<EventPlace> {
  const ended = (await describe()).status.name !== 'RUNNING';
  const deadline = performance.now() + WORKER_MS;
  for (;;) {
    try {
      return { url: (await status()).listener?.url ?? null, ended };
    } catch (error) {
      if (!ended || (error instanceof TaskError && error.code === 'NotFound')) throw error;
      // Without a worker that replays it, nobody knows where an ended task was; one may be on its way.
      if (performance.now() < deadline) await delay(RETRY_MS);
      else
        throw new TaskError('NotFound', `Task ${taskId} has ended, and no worker says where its events are`, {
          cause: error,
        });
    }
  }
}

/** No workflow task takes in what came last any more. */
const unknownState = (taskId: string, cause: unknown): TaskError =>
  new TaskError(
    'NotFound',
    `Task ${taskId} was ended with signals that no worker had taken: its last state is not known`,
    {
      cause,
    },
  );
