import type { Collection, Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { versioned } from '../formats.js';
import { acquireSeed, filterOf, usable, type AcquireResult, type SeedSource } from './acquire-seed.js';
import { seedsOf, type LeaseRequest } from './collections.js';
import { holderOf, holdingOf, type Holding } from './holders.js';
import { takenBefore } from './lease-requests.js';
import { judgedBy } from './lease-clock.js';
import { unleased } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** A task that waits for a seed of one pool, or for a named seed. */
export type Waiter = Holding;

interface WaiterDocument extends Waiter {
  /** The holder that the lease will name. */
  _id: string;
  source: string;
  /** When it came: the longest waiting task is served first. */
  since: Date;
  /** When it is dropped unless it asks again. */
  expiresAt: Date;
  /** When it was last told of a free seed. */
  wokenAt: Date;
  /** How often it was told since it last asked. */
  told?: number;
  version?: number;
  /** Temporal namespace of its workflow: only a worker of the same one can tell it. */
  fleet?: string;
}

/** Longer than any waiting task lets pass between two tries. Milliseconds. */
const WAITS_MS = 15 * 60_000;
/**
 * How long a waiter that was told of a free seed has to take it before it is told again. Milliseconds. Its worker may
 * die before the signal, and the seed must still be taken within 5 s.
 */
const TAKES_MS = 2_500;
/** How often a waiter is told before it is passed over until it asks again, since others wait behind it. */
const MAX_TOLD = 2;
/** How many free seeds of one source are counted, and how many of its waiters are told, in one look. */
const MAX_AT_ONCE = 1_000;
const NEVER = new Date(0);

const waitersOf = (store: Store): Collection<WaiterDocument> =>
  store.db.collection(`${store.prefix}_codex_waiters`);

/** Waiters that may be passed over: told as often as allowed, and not come in time. */
const passed = (now: Date): Filter<WaiterDocument>[] => [
  { told: { $gt: MAX_TOLD } },
  { told: MAX_TOLD, wokenAt: { $lte: new Date(now.getTime() - TAKES_MS) } },
];

const keyOf = (source: SeedSource): string =>
  'pool' in source ? `pool:${source.pool}` : `seed:${source.seedId}`;

/**
 * Leases a seed as `acquireSeed` does, but first come, first served: a task that finds no seed free, or no more
 * than those that waited before it will take, is noted with its time. Clients of the Python package do not queue. The
 * task must have no other assignment now: what one before holds still is taken over, with a new epoch.
 * @throws as `acquireSeed` does
 */
export async function acquireInTurn(
  store: Store,
  source: SeedSource,
  waiter: Waiter,
  ttlMs: number,
  request?: LeaseRequest,
): Promise<AcquireResult> {
  const holder = holderOf(waiter);
  // Called when the task has no other assignment, so what earlier ones hold is nobody's.
  const earlier = await earlierHolders(store, source, waiter);
  const acquired: AcquireResult = (await isOthersTurn(store, source, [holder, ...earlier]))
    ? { kind: 'busy' }
    : await acquireSeed(store, source, holder, ttlMs, request, earlier);
  if (acquired.kind === 'busy') await wait(store, source, waiter, request);
  // Even when it was not in line: an overlapping attempt may have added it since.
  else await forgetWaiter(store, waiter);
  return acquired;
}

/** How leases of a source name other assignments of the same task. */
async function earlierHolders(store: Store, source: SeedSource, waiter: Waiter): Promise<string[]> {
  const within = filterOf(source);
  if (within === null) return [];
  // What begins with the id and a slash: "0" comes right after it.
  const own = { 'lease.holder': { $gte: `${waiter.taskId}/`, $lt: `${waiter.taskId}0` } };
  const leased = await seedsOf(store)
    .find({ ...within, ...own }, { projection: { 'lease.holder': 1 } })
    .toArray();
  const holders = leased.flatMap(({ lease }) => lease?.holder ?? []);
  return holders.filter((holder) => {
    const assignment = holdingOf(holder);
    return assignment?.taskId === waiter.taskId && assignment.assignmentId !== waiter.assignmentId;
  });
}

/** Whether all free seeds are for earlier waiters. No query reads more of the line than there are free seeds. */
async function isOthersTurn(
  store: Store,
  source: SeedSource,
  [holder, ...earlier]: readonly [string, ...string[]],
): Promise<boolean> {
  const line = { source: keyOf(source), _id: { $ne: holder } };
  if ((await waitersOf(store).findOne(line, { projection: { _id: 1 } })) === null) return false;
  const now = await databaseNow(store);
  const free = await countFree(store, source, now);
  if (free === 0) return false;
  const mine = await waitersOf(store).findOne({ _id: holder, source: line.source });
  const before: Filter<WaiterDocument> = {
    ...line,
    expiresAt: { $gt: now },
    $nor: passed(now),
    ...(mine && { $or: [{ since: { $lt: mine.since } }, { since: mine.since, _id: { $lt: holder } }] }),
  };
  const ahead = await waitersOf(store).countDocuments(before, { limit: free });
  if (ahead < free) return false;
  // A repeated call has its seed already.
  const own = { ...filterOf(source), 'lease.holder': { $in: [holder, ...earlier] } };
  return (await seedsOf(store).findOne(own)) === null;
}

/** Seeds that may be leased now, as far as it matters how many. */
async function countFree(store: Store, source: SeedSource, now: Date): Promise<number> {
  const within = filterOf(source);
  if (within === null) return 0;
  const filter = { ...within, ...usable(now), ...unleased(judgedBy(store.client, now)) };
  return seedsOf(store).countDocuments(filter, { limit: MAX_AT_ONCE });
}

async function wait(store: Store, source: SeedSource, waiter: Waiter, request?: LeaseRequest): Promise<void> {
  const now = await databaseNow(store);
  await waitersOf(store).updateOne(
    { _id: holderOf(waiter) },
    {
      $set: versioned('waiter', {
        source: keyOf(source),
        expiresAt: new Date(now.getTime() + WAITS_MS),
        told: 0,
      }),
      $setOnInsert: {
        taskId: waiter.taskId,
        runId: waiter.runId,
        assignmentId: waiter.assignmentId,
        since: now,
        wokenAt: NEVER,
        ...(store.fleet !== undefined && { fleet: store.fleet }),
      },
    },
    { upsert: true },
  );
  if (!request) return;
  try {
    await takenBefore(store, holderOf(waiter), request);
  } catch (error) {
    // Removes it from the line, where it would only keep others from the seeds expected for it.
    if (error instanceof TaskError) await forgetWaiter(store, waiter);
    throw error;
  }
}

export async function forgetWaiter(store: Store, waiter: Waiter): Promise<void> {
  await waitersOf(store).deleteOne({ _id: holderOf(waiter) });
}

/** The assignments of a task that wait. */
export async function waitersOfTask(store: Store, taskId: string): Promise<Waiter[]> {
  const found = await waitersOf(store).find({ taskId }).toArray();
  return found.map(({ runId, assignmentId }) => ({ taskId, runId, assignmentId }));
}

/** A waiter to be told, and since when nobody else tells it. */
export interface Wakeable extends Waiter {
  wokenAt: Date;
}

/**
 * Selects waiters to be told of a free seed: of each source as many as it has free seeds, longest waiting first. Each
 * waiter is given to one caller only, and again when it did not take its seed in time; one that still does not come
 * keeps its place and is passed over.
 */
export async function wakeableWaiters(store: Store): Promise<Wakeable[]> {
  const sources: unknown[] = await waitersOf(store).distinct('source');
  if (sources.length === 0) return [];
  const now = await databaseNow(store);
  await waitersOf(store).deleteMany({ expiresAt: { $lte: now } });
  const wakeable: Wakeable[] = [];
  for (const source of sources) {
    if (typeof source !== 'string') continue;
    const free = await countFree(store, sourceOf(source), now);
    if (free > 0) wakeable.push(...(await tellThose(store, source, free, now)));
  }
  return wakeable;
}

async function tellThose(store: Store, source: string, free: number, now: Date): Promise<Wakeable[]> {
  const first = (filter: Filter<WaiterDocument>, limit: number) =>
    waitersOf(store)
      .find({ source, expiresAt: { $gt: now }, ...filter }, { sort: { since: 1, _id: 1 }, limit })
      .toArray();
  const served = await first({ $nor: passed(now) }, free);
  const others = served.length < free ? await first({ $or: passed(now) }, free - served.length) : [];
  const told: Wakeable[] = [];
  for (const { _id, wokenAt, fleet, ...waiter } of [...served, ...others]) {
    if (now.getTime() - wokenAt.getTime() < TAKES_MS) continue;
    if (fleet !== undefined && fleet !== store.fleet) continue;
    const note = { $set: { wokenAt: now }, $inc: { told: 1 } };
    const { matchedCount } = await waitersOf(store).updateOne({ _id, wokenAt }, note);
    const { taskId, runId, assignmentId } = waiter;
    if (matchedCount === 1) told.push({ taskId, runId, assignmentId, wokenAt: now });
  }
  return told;
}

/** The signal did not reach it: any worker tells it at the next look. */
export async function leaveToTell(store: Store, { wokenAt, ...waiter }: Wakeable): Promise<void> {
  await waitersOf(store).updateOne({ _id: holderOf(waiter), wokenAt }, { $set: { wokenAt: NEVER } });
}

function sourceOf(key: string): SeedSource {
  const name = key.slice(key.indexOf(':') + 1);
  return key.startsWith('pool:') ? { pool: name } : { seedId: name };
}
