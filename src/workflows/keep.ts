import { ActivityFailure, ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import { BUDGETS, piecesOf } from '../budgets/budgets.js';
import type { DeliveryPart, Kept, KeptBatch } from '../contract/activities.js';
import { textProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import type { TaskSpec } from '../contract/task-spec.js';

/** Stores in the database what is too large for the task to carry, and reads it back. */

/** Stores a value as JSON; null: no worker here has that activity. */
export async function keep(task: Task, value: unknown): Promise<Kept | null> {
  const blobIds: string[] = [];
  for (const text of piecesOf(JSON.stringify(value), BUDGETS.piece))
    try {
      blobIds.push((await textProxy().keepText({ ref: task.ref, text })).blobId);
    } catch (error) {
      if (!isUnknownStep(error)) throw error;
      return null;
    }
  return { blobIds };
}

/** Reads the stored value. */
export async function read({ blobIds }: Kept): Promise<unknown> {
  const pieces: string[] = [];
  for (const blobId of blobIds) pieces.push((await textProxy().readText({ blobId })).text);
  return JSON.parse(pieces.join(''));
}

/** Removes stored values that are no longer needed; a purge of the task removes the rest. */
export async function forgetKept(kept: readonly Kept[]): Promise<void> {
  const blobIds = kept.flatMap((each) => each.blobIds);
  try {
    // As many as surely fit into the arguments of an activity.
    for (let at = 0; at < blobIds.length; at += AT_ONCE)
      await textProxy().dropTexts({ blobIds: blobIds.slice(at, at + AT_ONCE) });
  } catch (error) {
    if (isCancellation(error)) throw error;
  }
}

const AT_ONCE = 2_000;

const isUnknownStep = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof ApplicationFailure &&
  error.cause.type === 'NotFoundError';

/** Fields of the input that only a host needs, and their placeholders while they are in the database. */
const BULK = {
  prompt: '',
  instructions: '',
  codexConfig: {},
  env: {},
  passEnv: [],
  files: [],
  outputSchema: undefined,
} as const satisfies { readonly [K in keyof TaskSpec]?: TaskSpec[K] | undefined };

/** Stores the fields of a large input that only a host needs. */
export async function keepSpec(task: Task): Promise<void> {
  const { spec } = task;
  if (task.state.keptSpec) return;
  const { sandbox, approvals } = spec;
  const bulk = Object.fromEntries(Object.keys(BULK).map((name) => [name, spec[name as keyof typeof BULK]]));
  const kept = await keep(task, { ...bulk, sandbox, approvals });
  if (!kept) return;
  task.state.keptSpec = kept;
  const { prompt, instructions } = spec;
  Object.assign(spec, BULK, prompt === null && { prompt }, instructions === null && { instructions });
  spec.sandbox = { ...sandbox, grants: [] };
  spec.approvals = { ...approvals, rules: [] };
}

/**
 * Stores an item that is too large for a delivery ahead of its turn; drops it with a warning when no worker can store
 * it.
 */
export async function keepLarge(task: Task): Promise<void> {
  while (await keepNext(task, false));
}

/** Reads back ids that were stored themselves, as far as the next delivery needs them. */
export async function expandNext(task: Task): Promise<void> {
  for (let batch = task.outbox.toExpand; batch; batch = task.outbox.toExpand) {
    task.outbox.expand(batch, (await read(batch)) as DeliveryPart[]);
    await forgetKept([batch]);
  }
}

/** Stores the oldest items that wait for a host. False: none is left, or they cannot be stored. */
export async function keepNext(task: Task, any: boolean): Promise<boolean> {
  const parts = task.outbox.toKeep(any);
  if (parts.length === 0) return false;
  const kept = await keep(task, parts);
  if (!kept && any) return false;
  const lost = task.outbox.keep(parts, kept);
  if (!kept)
    task.warn(`Dropped, as it is too large and no worker of this fleet can store it: ${lost.join(', ')}`);
  return true;
}

/** Removes everything stored for an ended task. */
export async function forgetAll(task: Task): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    const batches = await within(task.outbox.kept);
    const given = [task.state.keptSpec, task.state.keptInput].filter((each) => each !== null);
    const kept = [...batches, ...task.hookRequests.kept, ...given];
    if (kept.length > 0) await forgetKept(kept);
  });
}

/** Ids of these and of all in them. */
async function within(batches: readonly KeptBatch[]): Promise<Kept[]> {
  const all: Kept[] = [];
  for (const batch of batches) {
    const parts = batch.level > 1 ? ((await read(batch)) as DeliveryPart[]) : [];
    all.push(batch, ...(await within(parts.flatMap((part) => (part.kind === 'batch' ? [part.value] : [])))));
  }
  return all;
}
