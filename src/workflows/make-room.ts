import { workflowInfo } from '@temporalio/workflow';
import { BUDGETS, CODEC_BYTES, firstWithin, headOf, jsonBytes } from '../budgets/budgets.js';
import { boundRequests } from '../budgets/bound-request.js';
import type { CodexTaskInput } from '../contract/index.js';
import { keep, keepNext, keepSpec } from './keep.js';
import type { Task } from './task.js';
import type { CarriedTask } from './task-state.js';

/** The arguments of the next run. */
export type NextRun = [input: CodexTaskInput | undefined, carried: CarriedTask];

/** What Temporal takes of one call's arguments, with room for a codec. */
const MOST = 2 * 1024 * 1024 - 4 * CODEC_BYTES;

/**
 * What a task takes into its next run, within its budget: what is too large is put into the database first, what waits for
 * the host before what the host was given.
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
    const whole = !isCut && task.keptSpec === null;
    const next: NextRun = [whole ? input : namesIn(input), boundCarried(task.carry())];
    const isLarge = jsonBytes(next) > BUDGETS.carried;
    if (!isLarge) return next;
    if (await firstThat(makeRoom)) continue;
    if (whole) {
      isCut = true;
      continue;
    }
    if (jsonBytes(next) <= MOST) return next;
    // Nobody can keep it: the newest of what waits for the host goes, so that the task can go on.
    if (!task.outbox.dropNewest()) return next;
    task.warn(
      'More waits than the task can take along, and no worker of this fleet can keep it: the newest was dropped',
    );
  }
}

async function firstThat(steps: (() => Promise<boolean>)[]): Promise<boolean> {
  for (const step of steps) if (await step()) return true;
  return false;
}

/** False: it is in the database already, or cannot be put there. */
async function keepInput(task: Task, input: CodexTaskInput | undefined): Promise<boolean> {
  if (task.keptSpec) return false;
  await keepSpec(task);
  // The input itself is still needed until `onResumeRefresh` has answered, and by a run that a retry policy begins.
  const isNeeded = task.refreshing || workflowInfo().retryPolicy !== undefined;
  if (isNeeded && task.keptSpec) task.keptInput ??= await keep(task, input);
  return task.keptSpec !== null;
}

/** For those who look a running task's input up: what it names. */
function namesIn(input: CodexTaskInput | undefined): CodexTaskInput | undefined {
  if (input === undefined) return input;
  const { resume, files = [] } = input;
  return { ...(resume && { resume }), files: firstWithin(files, BUDGETS.files).kept };
}

/** What each part of a task may have at last, bytes; together with an input that was cut they are within the budget. */
export const CARRIED_BUDGETS: { readonly [K in keyof CarriedTask]: number } = {
  version: 32,
  from: 64,
  startedAtMs: 32,
  waitsSinceMs: 32,
  assignment: 4_096,
  assignmentId: 64,
  refusals: 4_608,
  vain: 32,
  phase: 64,
  activity: 64,
  // Open requests are counted with `permissions`.
  status: BUDGETS.state - BUDGETS.statePending,
  result: 64 * 1024 + 512,
  searchAttributes: 256,
  shown: 2_048,
  hostRestarts: 32,
  expectedBackAt: 32,
  evicted: 8,
  codexStarted: 8,
  lastEventId: 32,
  moved: BUDGETS.movedRequests + 512,
  newest: 128,
  closing: 8,
  hookRequests: BUDGETS.hookRequestIds + BUDGETS.deliverables + 32 * 1024,
  reachedBeforeExecute: 8,
  refreshing: 8,
  ending: BUDGETS.failure + 256,
  seedTold: 8,
  // Excludes and metadata, nine hooks, a credential.
  spec: 2 * BUDGETS.settings + 40 * 1024,
  keptSpec: 2_048,
  keptInput: 2_048,
  outbox: BUDGETS.rememberedIds + BUDGETS.keptPlaces + 1_024,
  permissions: BUDGETS.rememberedIds + BUDGETS.signal + BUDGETS.openRequests / 4,
};

/** What of the input goes along beside. */
export const CARRIED_INPUT = BUDGETS.files + 4_096;

/** What can be cut is cut, where all that is carried is still too much. */
export function boundCarried(carried: CarriedTask): CarriedTask {
  const { permissions, result } = carried;
  const early = firstWithin(permissions.early, BUDGETS.signal).kept;
  const within = { ...carried, permissions: { ...permissions, early } };
  const room = BUDGETS.carried - CARRIED_INPUT;
  if (jsonBytes(within) <= room) return within;
  const rest = jsonBytes({ ...within, permissions: { ...within.permissions, open: [] } });
  const open = boundRequests(permissions.open, Math.max(room - rest, BUDGETS.openRequests / 4));
  const cut = { ...within, permissions: { ...within.permissions, open } };
  const { finalMessage } = result;
  if (jsonBytes(cut) <= room || finalMessage === null) return cut;
  const shorter = headOf(finalMessage, CARRIED_BUDGETS.result - 512);
  const isCut = shorter !== finalMessage && ({ finalMessageTruncated: true } as const);
  return { ...cut, result: { ...result, finalMessage: shorter, ...isCut } };
}
