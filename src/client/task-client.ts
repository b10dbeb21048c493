import { randomUUID } from 'node:crypto';
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy, type Client } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import {
  CODEX_TASK,
  DEFAULT_TASK_QUEUE,
  type CodexTaskInput,
  type OutputOf,
  type OutputSchema,
  type TaskState,
} from '../contract/index.js';
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

/** What a task's search attributes have to be; an empty filter finds every running task. */
export interface TaskFilter {
  state?: TaskState | undefined;
  model?: string | undefined;
  seedId?: string | undefined;
  /** Id of the host that has it. */
  host?: string | undefined;
}

export interface TaskClient {
  /**
   * Starts a task under an id of yours, or without one under an id that is made.
   * @throws TaskError `BadInput` naming every wrong field, or that the task is already running
   */
  start<const S extends OutputSchema | undefined = undefined>(
    taskId: string,
    input?: CodexTaskInput & { outputSchema?: S },
    options?: StartOptions,
  ): Promise<TaskHandle<OutputOf<S>>>;
  start<const S extends OutputSchema | undefined = undefined>(
    input: CodexTaskInput & { outputSchema?: S },
    options?: StartOptions,
  ): Promise<TaskHandle<OutputOf<S>>>;
  /**
   * `Output`: what its `result` is said to have; nothing checks that here.
   * @throws TaskError `BadInput` for an id that no task can have
   */
  handle<Output = unknown>(taskId: string): TaskHandle<Output>;
  /** Running tasks, newest first; `all`: ended ones too. */
  list(options?: { all?: boolean | undefined }): AsyncGenerator<TaskSummary>;
  /**
   * Running tasks that are all of this, newest first; Temporal shows a change after a moment.
   * @throws TaskError `BadInput` where the namespace lacks the search attributes
   */
  find(filter: TaskFilter): AsyncGenerator<TaskSummary>;
  /** What each running task was started with. */
  runningInputs(): AsyncGenerator<{ taskId: string; input: CodexTaskInput }>;
}

const MAX_SUMMARY_CHARACTERS = 120;
const START_MS = 10_000;
const CODEX_STATE = defineSearchAttributeKey('CodexState', SearchAttributeType.KEYWORD);

/** Starts, finds and lists codex tasks over a connected Temporal client. */
export function createTaskClient(options: TaskClientOptions): TaskClient {
  const { client, taskQueue = DEFAULT_TASK_QUEUE, listenerSecret } = options;
  const handle = <Output>(taskId: string) => taskHandle<Output>(client, checkTaskId(taskId), listenerSecret);
  async function start<Output>(...given: StartArguments): Promise<TaskHandle<Output>> {
    const [taskId, input = {}, { summary } = {}] = hasInputFirst(given)
      ? [`task-${randomUUID()}`, ...given]
      : given;
    refuseBadPatterns(parseTaskInput(input, taskId));
    refuseLarge(input);
    const staticSummary = summary ?? firstLine(input.prompt ?? input.instructions ?? '');
    const startWorkflow = () =>
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
      await client.withDeadline(Date.now() + START_MS, startWorkflow);
    } catch (error) {
      throw clientFailure(error, taskId);
    }
    return handle(taskId);
  }
  return {
    handle,
    start,
    async *runningInputs() {
      try {
        yield* runningInputs(client);
      } catch (error) {
        throw clientFailure(error, '*');
      }
    },
    list: ({ all = false } = {}) => summaries(client, all ? [] : [RUNNING]),
    find: (filter) => summaries(client, [RUNNING, ...conditionsOf(filter)]),
  };
}

type WithId = [taskId: string, input?: CodexTaskInput | undefined, options?: StartOptions | undefined];
type WithoutId = [input: CodexTaskInput, options?: StartOptions | undefined];
type StartArguments = WithId | WithoutId;

/** What is neither an id nor an input is refused as an id. */
const hasInputFirst = (given: StartArguments): given is WithoutId =>
  typeof given[0] === 'object' && given[0] !== null;

const RUNNING = "ExecutionStatus = 'Running'";

/** Names of the search attributes by field of a filter. */
const FILTERED: { readonly [K in keyof TaskFilter]-?: string } = {
  state: 'CodexState',
  model: 'CodexModel',
  seedId: 'CodexSeed',
  host: 'CodexHost',
};

function conditionsOf(filter: TaskFilter): string[] {
  const unknown = Object.keys(filter).find((field) => !Object.hasOwn(FILTERED, field));
  if (unknown !== undefined)
    throw new TaskError(
      'BadInput',
      `${unknown}: expected one of ${Object.keys(FILTERED).join(', ')} to find tasks by`,
    );
  return Object.entries(filter).flatMap(([field, value]: [string, unknown]) => {
    if (value === undefined) return [];
    // Temporal's own quoting of these differs between its databases.
    if (typeof value !== 'string' || /["\\]/.test(value))
      throw new TaskError(
        'BadInput',
        `${field}: expected text without " and \\, got ${JSON.stringify(value)}`,
      );
    return [`${FILTERED[field as keyof TaskFilter]} = '${value.replaceAll("'", "''")}'`];
  });
}

async function* summaries(client: Client, conditions: readonly string[]): AsyncGenerator<TaskSummary> {
  const query = [`WorkflowType = '${CODEX_TASK}'`, ...conditions].join(' AND ');
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
