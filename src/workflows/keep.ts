import { ActivityFailure, ApplicationFailure, CancellationScope, isCancellation } from '@temporalio/workflow';
import { BUDGETS, piecesOf } from '../budgets/budgets.js';
import type { DeliveryPart, Kept, KeptBatch } from '../contract/activities.js';
import { textProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import type { TaskSpec } from '../contract/task-spec.js';

/** What a task is too large to carry, into the database and back. */

/** Stores a value as JSON; null: no worker here has that step. */
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

/** What was stored. */
export async function read({ blobIds }: Kept): Promise<unknown> {
  const pieces: string[] = [];
  for (const blobId of blobIds) pieces.push((await textProxy().readText({ blobId })).text);
  return JSON.parse(pieces.join(''));
}

/** Removes what is not needed any more; what is left of it goes with a purge of the task. */
export async function forget(kept: readonly Kept[]): Promise<void> {
  const blobIds = kept.flatMap((each) => each.blobIds);
  try {
    // As many as are surely in the budget of a step.
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

/** Fields of the input that only a host needs, and what stands in their place when they are in the database. */
const BULK = {
  prompt: '',
  instructions: '',
  codexConfig: {},
  env: {},
  passEnv: [],
  files: [],
} as const satisfies Partial<TaskSpec>;

/** Puts what only a host needs of a large input into the database. */
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

/** Puts what is too large for a delivery into the database, before it is its turn; what nobody takes there is lost and said. */
export async function keepLarge(task: Task): Promise<void> {
  while (await keepNext(task, false));
}

/** Brings back places that are in the database themselves, as far as the next delivery needs them. */
export async function expandNext(task: Task): Promise<void> {
  for (let batch = task.outbox.toExpand; batch; batch = task.outbox.toExpand) {
    task.outbox.expand(batch, (await read(batch)) as DeliveryPart[]);
    await forget([batch]);
  }
}

/** Puts the oldest of what waits for a host into the database. False: there is nothing more of it, or it cannot be. */
export async function keepNext(task: Task, any: boolean): Promise<boolean> {
  const parts = task.outbox.toKeep(any);
  if (parts.length === 0) return false;
  const kept = await keep(task, parts);
  if (!kept && any) return false;
  const lost = task.outbox.keep(parts, kept);
  if (!kept)
    task.warn(`Too large, and no worker of this fleet can keep it, so it was dropped: ${lost.join(', ')}`);
  return true;
}

/** Removes all that is still kept for a task that is over. */
export async function forgetAll(task: Task): Promise<void> {
  await CancellationScope.nonCancellable(async () => {
    const batches = await within(task.outbox.kept);
    const given = [task.state.keptSpec, task.state.keptInput].filter((each) => each !== null);
    const kept = [...batches, ...task.hookRequests.kept, ...given];
    if (kept.length > 0) await forget(kept);
  });
}

/** These and all that is in them. */
async function within(batches: readonly KeptBatch[]): Promise<Kept[]> {
  const all: Kept[] = [];
  for (const batch of batches) {
    const parts = batch.level > 1 ? ((await read(batch)) as DeliveryPart[]) : [];
    all.push(batch, ...(await within(parts.flatMap((part) => (part.kind === 'batch' ? [part.value] : [])))));
  }
  return all;
}
