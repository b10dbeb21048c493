import type { Command } from 'commander';
import type { TaskHandle } from '../client/index.js';
import type { CodexTaskResult, PermissionRequest, TaskStatus } from '../contract/index.js';
import { TaskError } from '../errors.js';
import type { CliIo } from './io.js';
import { printable, type Paint } from './output.js';
import { taskWord } from './shell-word.js';
import { resultText, row, usageText } from './result-text.js';
import { withTasks } from './with-tasks.js';
import { checkTaskId } from '../input/task-id.js';

interface TaskView {
  taskId: string;
  runId: string;
  /** Temporal's own word: RUNNING, COMPLETED, FAILED, … */
  status: string;
  startedAt: string;
  closedAt: string | null;
  /** Null: no worker answered. */
  state: TaskStatus | null;
  result: CodexTaskResult | null;
  failure: { code: string; message: string; details?: unknown } | null;
}

/** `codex-task show ID` */
export function addShow(program: Command, io: CliIo): void {
  program
    .command('show')
    .description('show the state of a task, or its result')
    .argument('<task-id>', '', checkTaskId)
    .option('--json', 'one JSON line on stdout')
    .action(async (taskId: string, { json }: { json?: true }) => {
      const output = io.output(json);
      const view = await withTasks(io, (tasks) => viewOf(tasks.handle(taskId)));
      output.result(view, viewText(view, output.paint));
    });
}

async function viewOf(task: TaskHandle): Promise<TaskView> {
  const { runId, status, startTime, closeTime } = await task.describe();
  const running = status.name === 'RUNNING';
  const [state, end] = await Promise.all([task.status().catch(nothingFrom), running ? null : endOf(task)]);
  return {
    taskId: task.taskId,
    runId,
    status: status.name,
    startedAt: startTime.toISOString(),
    closedAt: closeTime?.toISOString() ?? null,
    state,
    result: end?.result ?? null,
    failure: end?.failure ?? null,
  };
}

/** Without a worker Temporal itself still says much. */
function nothingFrom(error: unknown): null {
  if (error instanceof TaskError && error.code === 'Unavailable') return null;
  throw error;
}

async function endOf(task: TaskHandle): Promise<Pick<TaskView, 'result' | 'failure'>> {
  try {
    return { result: await task.result(), failure: null };
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    return { result: null, failure: failureOf(error) };
  }
}

function failureOf({ code, message, details }: TaskError): NonNullable<TaskView['failure']> {
  return { code, message, ...(details !== undefined && { details }) };
}

/** A task's page for people. */
export function viewText(view: TaskView, paint: Paint): string {
  const { taskId, state, result, failure } = view;
  const line = (label: string, fact: string | null | undefined) => (fact ? [row(label, fact, paint)] : []);
  if (result) return `${resultText(result, paint)}\n${times(view, paint)}`;
  const title = failure ? paint.red(failure.code) : paint.bold(state?.state ?? view.status);
  return [
    `${title} ${taskId}`,
    ...line('failure', failure?.message),
    times(view, paint),
    ...(state
      ? stateLines(state, line)
      : line('state', 'no worker answers: start one with codex-task worker')),
    ...(state && !failure ? state.pending.flatMap((request) => requestLines(taskId, request, paint)) : []),
  ].join('\n');
}

function times({ startedAt, closedAt }: TaskView, paint: Paint): string {
  return row(closedAt ? 'ran' : 'running since', closedAt ? `${startedAt} to ${closedAt}` : startedAt, paint);
}

function stateLines(
  state: TaskStatus,
  line: (label: string, fact: string | null | undefined) => string[],
): string[] {
  return [
    ...line('out of quota until', state.parkedUntil),
    ...line('host', state.host),
    ...line('listener', state.listener?.url),
    ...line('model', state.model),
    ...line('thread', state.threadId),
    ...line('seed', state.seedId),
    ...line('turns', `${state.turns}, ${usageText(state.usage)}`),
    ...state.warnings.flatMap((warning) => line('warning', warning)),
    ...line('last error', state.lastError),
  ];
}

/** An open request, with what to type. */
export function requestLines(taskId: string, request: PermissionRequest, paint: Paint): string[] {
  const { requestId, summary, openedAt, expiresAt } = request;
  const until = expiresAt ? `, until ${expiresAt}` : '';
  return [
    '',
    `${paint.yellow('?')} ${printable(summary)} ${paint.dim(`(open since ${openedAt}${until})`)}`,
    `    codex-task approve ${taskWord(taskId)} ${requestId}`,
    `    codex-task deny ${taskWord(taskId)} ${requestId}`,
  ];
}
