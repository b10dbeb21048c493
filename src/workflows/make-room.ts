import { BUDGETS, CODEC_BYTES, firstWithin, jsonBytes } from '../budgets.js';
import { boundRequests } from '../budgets/bound-request.js';
import type { CodexTaskInput } from '../contract.js';
import type { CarriedTask } from './carry-over.js';
import { keep, keepNext, keepSpec } from './keep.js';
import type { Task } from './task.js';

/** The arguments of the next run. */
export type NextRun = [input: CodexTaskInput | undefined, carried: CarriedTask];

/** An input that is not larger goes along as it was given. */
const SMALL_INPUT = 64 * 1024;
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
    () => task.errands.keepWaiting((errands) => keep(task, errands)),
    () => keepInput(task, input),
  ];
  for (;;) {
    const next: NextRun = [carriedInput(task, input), boundCarried(task.carry())];
    const isLarge = jsonBytes(next) > BUDGETS.carried;
    if (!isLarge) return next;
    if (await firstThat(makeRoom)) continue;
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
  // Until `onResumeRefresh` has answered, the input itself is still needed.
  if (task.refreshing && task.keptSpec) task.keptInput = await keep(task, input);
  return task.keptSpec !== null;
}

/** For those who look a running task's input up: what it names. */
function carriedInput(task: Task, input: CodexTaskInput | undefined): CodexTaskInput | undefined {
  if (input === undefined || (!task.keptSpec && jsonBytes(input) <= SMALL_INPUT)) return input;
  const { resume, files = [] } = input;
  return { ...(resume && { resume }), files: firstWithin(files, BUDGETS.files).kept };
}

/** Open requests are cut where all that is carried is still too much. */
function boundCarried(carried: CarriedTask): CarriedTask {
  const { desk } = carried;
  const early = firstWithin(desk.early, BUDGETS.signal).kept;
  const rest = jsonBytes({ ...carried, desk: { ...desk, early, open: [] } });
  const room = Math.max(BUDGETS.carried - SMALL_INPUT - BUDGETS.files - rest, BUDGETS.openRequests / 4);
  const open = jsonBytes(desk.open) <= room ? desk.open : boundRequests(desk.open, room);
  return { ...carried, desk: { ...desk, early, open } };
}
