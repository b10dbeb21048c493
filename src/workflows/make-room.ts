import { workflowInfo } from '@temporalio/workflow';
import { boundOutput } from '../budgets/bound-output.js';
import { BUDGETS, CODEC_BYTES, firstWithin, headOf, jsonBytes } from '../budgets/budgets.js';
import { boundRequests } from '../budgets/bound-request.js';
import type { CodexTaskInput } from '../contract/index.js';
import { CARRIED_BUDGETS } from './carried-fields.js';
import { keep, keepNext, keepSpec } from './keep.js';
import { boundStatus, changed } from './status-budget.js';
import type { Task } from './task.js';
import { CARRIED_VERSION, type CarriedTask, type PartialResult } from './task-state.js';

/** The arguments of the next run. */
export type NextRun = [input: CodexTaskInput | undefined, carried: CarriedTask];

/** Limit of Temporal for the arguments of one call, with room for a codec. */
const MOST = 2 * 1024 * 1024 - 4 * CODEC_BYTES;

/**
 * Fits the carried state of a task into its budget: stores what is too large in the database, items that wait for the
 * host before the host's part of the input.
 */
export async function nextRun(task: Task, input: CodexTaskInput | undefined): Promise<NextRun> {
  const makeRoom = [
    async () => jsonBytes(task.spec) > BUDGETS.delivery && (await keepInput(task, input)),
    () => keepNext(task, true),
    () => task.hookRequests.keepWaiting((hookRequests) => keep(task, hookRequests)),
    () => keepInput(task, input),
  ];
  let isCut = false;
  for (;;) {
    const whole = !isCut && task.state.keptSpec === null;
    const next: NextRun = [whole ? input : namesIn(input), boundCarried(carry(task))];
    const isLarge = jsonBytes(next) > BUDGETS.carried;
    if (!isLarge) return next;
    if (await firstThat(makeRoom)) continue;
    if (whole) {
      isCut = true;
      continue;
    }
    if (jsonBytes(next) <= MOST) return next;
    // Nobody can store it: drops the newest waiting items, so that the task can continue.
    if (!task.outbox.dropNewest()) return next;
    task.warn(
      'The newest waiting item was dropped: the task cannot carry more, and no worker of this fleet can store it',
    );
  }
}

/** The whole state of a task for the next run. */
function carry({ spec, state }: Task): CarriedTask {
  // Open requests are carried by `permissions`; waits are registered again in the next run.
  const status = boundStatus(changed(state.status, { pending: [], waitingFor: undefined }));
  return {
    version: CARRIED_VERSION,
    from: workflowInfo().runId,
    spec: { ...spec, ui: null },
    ...state,
    status,
  };
}

async function firstThat(steps: (() => Promise<boolean>)[]): Promise<boolean> {
  for (const step of steps) if (await step()) return true;
  return false;
}

/** False: it is in the database already, or cannot be stored. */
async function keepInput(task: Task, input: CodexTaskInput | undefined): Promise<boolean> {
  if (task.state.keptSpec) return false;
  await keepSpec(task);
  // The input itself is still needed until `onResumeRefresh` has answered, and by a run that a retry policy begins.
  const isNeeded = task.state.refreshing || workflowInfo().retryPolicy !== undefined;
  if (isNeeded && task.state.keptSpec) task.state.keptInput ??= await keep(task, input);
  return task.state.keptSpec !== null;
}

/** Names what the input refers to, for those who look up a running task's input. */
function namesIn(input: CodexTaskInput | undefined): CodexTaskInput | undefined {
  if (input === undefined) return input;
  const { resume, files = [] } = input;
  return { ...(resume && { resume }), files: firstWithin(files, BUDGETS.files).kept };
}

/** The part of the input that is carried as well. */
export const CARRIED_INPUT = BUDGETS.files + 4_096;

/** Cuts all that can be cut when the carried state is still too large. */
export function boundCarried(carried: CarriedTask): CarriedTask {
  const { permissions, result } = carried;
  const early = firstWithin(permissions.early, BUDGETS.signal).kept;
  const within = { ...carried, permissions: { ...permissions, early } };
  const room = BUDGETS.carried - CARRIED_INPUT;
  if (jsonBytes(within) <= room) return within;
  const cut = withRequests(within, room);
  if (jsonBytes(cut) <= room) return cut;
  return withRequests({ ...within, result: shortened(result) }, room);
}

/** The same with its open requests cut to the room that the rest leaves. */
function withRequests(carried: CarriedTask, room: number): CarriedTask {
  const { permissions } = carried;
  const rest = jsonBytes({ ...carried, permissions: { ...permissions, open: [] } });
  const open = boundRequests(permissions.open, Math.max(room - rest, BUDGETS.openRequests / 4));
  return { ...carried, permissions: { ...permissions, open } };
}

/** The answer as it is before the same as a text; what does not fit is left out and said. */
function shortened({ output, finalMessage, ...rest }: PartialResult): PartialResult {
  const most = CARRIED_BUDGETS.result - 512;
  const kept = boundOutput(output === undefined ? undefined : { value: output }, most);
  const left = Math.max(most - jsonBytes(kept.output), 0);
  const shorter = finalMessage && headOf(finalMessage, left);
  const isCut = shorter !== finalMessage && ({ finalMessageTruncated: true } as const);
  return { ...rest, ...kept, finalMessage: shorter, ...isCut };
}
