import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy, type Client } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { CODEX_TASK, DEFAULT_TASK_QUEUE, type CodexTaskInput } from '../contract/index.js';
import { BUDGETS, cutText } from '../budgets/budgets.js';
import { TaskError } from '../errors.js';
import { refuseBadPatterns } from '../input/patterns.js';
import { checkTaskId, parseTaskInput } from '../input/parse-task-input.js';
import { clientFailure } from './client-failure.js';
import { lookingClient } from './looking-client.js';
import { runningInputs } from './running-inputs.js';
import { taskHandle, type TaskHandle } from './task-handle.js';

export interface TaskClientOptions {
  client: Client;
  /** Default: `codex-tasks`. */
  taskQueue?: string | undefined;
  /** Opens the listeners of this fleet; needed for events and for messages over 64 KiB. */
  listenerSecret?: string | undefined;
}

export interface StartOptions {
  /** Shown in Temporal's UI; default: the first line of the prompt. */
  summary?: string | undefined;
}

/** A task in Temporal's list. */
export interface TaskSummary {
  taskId: string;
  runId: string;
  status: string;
  /** The search attribute `CodexState`; null where the namespace does not have it. */
  state: string | null;
  startedAt: string;
  closedAt: string | null;
}

export interface TaskClient {
  /** @throws TaskError `BadInput` naming every wrong field, or that the task is already running */
  start(taskId: string, input?: CodexTaskInput, options?: StartOptions): Promise<TaskHandle>;
  /** @throws TaskError `BadInput` for an id that no task can have */
  handle(taskId: string): TaskHandle;
  /** Running tasks, newest first; `all`: ended ones too. */
  list(options?: { all?: boolean | undefined }): AsyncGenerator<TaskSummary>;
  /** What each running task was started with. */
  runningInputs(): AsyncGenerator<{ taskId: string; input: CodexTaskInput }>;
}

const MAX_SUMMARY_CHARACTERS = 120;
const START_MS = 10_000;
const CODEX_STATE = defineSearchAttributeKey('CodexState', SearchAttributeType.KEYWORD);

/** Starts, finds and lists codex tasks over a connected Temporal client. */
export function createTaskClient(options: TaskClientOptions): TaskClient {
  const { client, taskQueue = DEFAULT_TASK_QUEUE, listenerSecret } = options;
  const handle = (taskId: string) => taskHandle(client, checkTaskId(taskId), listenerSecret);
  return {
    handle,
    async start(taskId, input = {}, { summary } = {}) {
      refuseBadPatterns(parseTaskInput(input, taskId).approvals.rules);
      refuseLarge(input);
      const staticSummary = summary ?? firstLine(input.prompt ?? input.instructions ?? '');
      const start = () =>
        client.workflow.start(CODEX_TASK, {
          workflowId: taskId,
          taskQueue,
          args: [input],
          workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
          workflowIdConflictPolicy: WorkflowIdConflictPolicy.FAIL,
          // Temporal shows the first to people in the first run alone.
          ...(staticSummary && { staticSummary, memo: { summary: staticSummary } }),
        });
      try {
        await client.withDeadline(Date.now() + START_MS, start);
      } catch (error) {
        throw clientFailure(error, taskId);
      }
      return handle(taskId);
    },
    async *runningInputs() {
      try {
        yield* runningInputs(client);
      } catch (error) {
        throw clientFailure(error, '*');
      }
    },
    async *list({ all = false } = {}) {
      const query = `WorkflowType = '${CODEX_TASK}'${all ? '' : " AND ExecutionStatus = 'Running'"}`;
      try {
        for await (const info of lookingClient(client).workflow.list({ query }))
          yield {
            taskId: info.workflowId,
            runId: info.runId,
            status: info.status.name,
            state: info.typedSearchAttributes.get(CODEX_STATE) ?? null,
            startedAt: info.startTime.toISOString(),
            closedAt: info.closeTime?.toISOString() ?? null,
          };
      } catch (error) {
        throw clientFailure(error, '*');
      }
    },
  };
}

function refuseLarge(input: CodexTaskInput): void {
  const bytes = Buffer.byteLength(JSON.stringify(input));
  // Temporal refuses a larger payload with a message that names no field.
  if (bytes <= BUDGETS.input) return;
  throw new TaskError(
    'BadInput',
    `input: expected at most ${BUDGETS.input} bytes, got ${bytes}; start without the prompt and send it`,
  );
}

function firstLine(text: string): string {
  const line = [...(text.trimStart().split('\n', 1)[0] ?? '').trimEnd()];
  const short =
    line.length > MAX_SUMMARY_CHARACTERS
      ? `${line.slice(0, MAX_SUMMARY_CHARACTERS).join('')}…`
      : line.join('');
  return cutText(short, BUDGETS.staticSummary);
}
