import type { Command } from 'commander';
import type { Behavior, PermissionDecision, PermissionRequest } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import type { CliIo } from './io.js';
import { printable } from './output.js';
import { withTasks } from './with-tasks.js';
import { checkTaskId } from '../input/task-id.js';

interface DecisionFlags {
  session?: true;
  answer?: string;
  message?: string;
  json?: true;
}

/** `codex-task approve | deny ID [REQUEST]` */
export function addDecisions(program: Command, io: CliIo): void {
  const command = (behavior: Behavior, name: string) =>
    program
      .command(name)
      .description(`${behavior} an open request of a task`)
      .argument('<task-id>', '', checkTaskId)
      .argument('[request]', 'optional when only one is open')
      .option('--json', 'one JSON line on stdout')
      .action((taskId: string, request: string | undefined, flags: DecisionFlags) =>
        decide(taskId, request, { behavior, ...decisionOf(flags) }, flags, io),
      );
  command('allow', 'approve')
    .option('--session', 'also allow similar requests for the rest of the session')
    .option('--answer <json>', 'answers to a question, content of a form, or permissions');
  command('deny', 'deny').option('--message <text>', 'reason shown to the model');
}

async function decide(
  taskId: string,
  request: string | undefined,
  decision: Omit<PermissionDecision, 'requestId'>,
  flags: DecisionFlags,
  io: CliIo,
): Promise<void> {
  const output = io.output(flags.json);
  const decided = await withTasks(io, async (tasks) => {
    const task = tasks.handle(taskId);
    const requestId = request ?? onlyRequest(taskId, (await task.status()).pending).requestId;
    return task.decide({ requestId, decidedBy: 'cli', ...decision });
  });
  const word = decided.behavior === 'allow' ? output.paint.green('allowed') : output.paint.red('denied');
  output.result({ ok: true, ...decided }, `${word} ${decided.requestId}`);
}

/** The request that is meant when none is named. @throws TaskError when there is none or more than one */
export function onlyRequest(taskId: string, pending: readonly PermissionRequest[]): PermissionRequest {
  const [request, ...others] = pending;
  if (!request) throw new TaskError('NotFound', `task ${taskId} has no open request`);
  if (others.length === 0) return request;
  const list = pending.map(({ requestId, summary }) => `\n  ${requestId}  ${printable(summary)}`).join('');
  throw new TaskError('BadInput', `task ${taskId} has ${pending.length} open requests, name one:${list}`);
}

function decisionOf({ session, answer, message }: DecisionFlags): Partial<PermissionDecision> {
  return {
    ...(session && { scope: 'session' as const }),
    ...(answer !== undefined && { updatedInput: parseAnswer(answer) }),
    ...(message !== undefined && { message }),
  };
}

function parseAnswer(json: string): Record<string, unknown> {
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch (error) {
    throw new TaskError('BadInput', `--answer: expected a JSON object: ${reasonOf(error)}`);
  }
}
