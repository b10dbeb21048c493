import type { Collection } from 'mongodb';
import { TaskError } from '../errors.js';
import { acquireSeed, filterOf, usable, type AcquireResult, type SeedSource } from './acquire-seed.js';
import { seedsOf, type LeaseRequest } from './collections.js';
import { holderOf, type Holding } from './holders.js';
import { takenBefore } from './lease-requests.js';
import { unleased } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** A task that waits for a seed of one pool, or for one seed. */
export type Waiter = Holding;

interface WaiterDocument extends Waiter {
  /** The holder that the lease will name. */
  _id: string;
  source: string;
  /** When it came: who waited longest is served first. */
  since: Date;
  /** Unless it asks again before, it waits no more. */
  expiresAt: Date;
  /** When it was last told that a seed is free for it. */
  wokenAt: Date;
}

/** Longer than any waiting task lets pass between two tries. Milliseconds. */
const WAITS_MS = 15 * 60_000;
/**
 * How long who was told of a free seed has to take it before it is told again. Milliseconds. Whoever tells may die
 * between this note and its word, and the seed is to be taken within 5 s all the same.
 */
const TAKES_MS = 2_500;
/** Waiters that are looked at together; later ones come up when these are served. */
const MAX_WAITERS = 1_000;
const NEVER = new Date(0);

const waitersOf = (store: Store): Collection<WaiterDocument> =>
  store.db.collection(`${store.prefix}_codex_waiters`);

const keyOf = (source: SeedSource): string =>
  'pool' in source ? `pool:${source.pool}` : `seed:${source.seedId}`;

/**
 * Leases a seed as `acquireSeed` does, but first come, first served: a task that finds no seed free, or no more
 * than those that waited before it will take, is noted with its time. Clients of the Python package do not queue.
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
  const waiting = await inLine(store, { source: keyOf(source) });
  const isLater = waiting.length > 0 && (await isOthersTurn(store, source, holder, waiting));
  const acquired: AcquireResult = isLater
    ? { kind: 'busy' }
    : await acquireSeed(store, source, holder, ttlMs, request);
  if (acquired.kind === 'busy') await wait(store, source, waiter, request);
  // Also one that was not in line: an attempt that overlaps may have noted it since.
  else await forgetWaiter(store, waiter);
  return acquired;
}

async function isOthersTurn(
  store: Store,
  source: SeedSource,
  holder: string,
  waiting: readonly WaiterDocument[],
): Promise<boolean> {
  const now = await databaseNow(store);
  const at = waiting.findIndex(({ _id }) => _id === holder);
  const before = at === -1 ? waiting : waiting.slice(0, at);
  const ahead = before.filter(({ expiresAt }) => expiresAt > now).length;
  if (ahead === 0) return false;
  const free = await countFree(store, source, now);
  if (free === 0 || free > ahead) return false;
  // A call that is repeated has its seed already.
  return (await seedsOf(store).findOne({ ...filterOf(source), 'lease.holder': holder })) === null;
}

/** Seeds that may be leased now. */
async function countFree(store: Store, source: SeedSource, now: Date): Promise<number> {
  const within = filterOf(source);
  if (within === null) return 0;
  return seedsOf(store).countDocuments({ ...within, ...usable(now), ...unleased(now) });
}

async function wait(store: Store, source: SeedSource, waiter: Waiter, request?: LeaseRequest): Promise<void> {
  const now = await databaseNow(store);
  await waitersOf(store).updateOne(
    { _id: holderOf(waiter) },
    {
      $set: { source: keyOf(source), expiresAt: new Date(now.getTime() + WAITS_MS) },
      $setOnInsert: {
        taskId: waiter.taskId,
        runId: waiter.runId,
        stayId: waiter.stayId,
        since: now,
        wokenAt: NEVER,
      },
    },
    { upsert: true },
  );
  if (!request) return;
  try {
    await takenBefore(store, holderOf(waiter), request);
  } catch (error) {
    // It does not wait: it would only keep others from the seeds that it is thought to take.
    if (error instanceof TaskError) await forgetWaiter(store, waiter);
    throw error;
  }
}

const inLine = (store: Store, filter: { source?: string }): Promise<WaiterDocument[]> =>
  waitersOf(store)
    .find(filter, { sort: { since: 1, _id: 1 }, limit: MAX_WAITERS })
    .toArray();

export async function forgetWaiter(store: Store, waiter: Waiter): Promise<void> {
  await waitersOf(store).deleteOne({ _id: holderOf(waiter) });
}

/** The stays of a task that wait. */
export async function waitersOfTask(store: Store, taskId: string): Promise<Waiter[]> {
  const found = await waitersOf(store).find({ taskId }).toArray();
  return found.map(({ runId, stayId }) => ({ taskId, runId, stayId }));
}

/** One that is to be told, and since when nobody else tells it. */
export interface Wakeable extends Waiter {
  wokenAt: Date;
}

/**
 * Who is to be told that a seed is free for it: of each source as many as it has free seeds, longest waiting
 * first. A waiter is given to one caller only, and again when it has not taken its seed for a while.
 */
export async function wakeableWaiters(store: Store): Promise<Wakeable[]> {
  const waiting = await inLine(store, {});
  if (waiting.length === 0) return [];
  const now = await databaseNow(store);
  await waitersOf(store).deleteMany({ expiresAt: { $lte: now } });
  const wakeable: Wakeable[] = [];
  for (const source of new Set(waiting.map((each) => each.source))) {
    const here = waiting.filter((each) => each.source === source && each.expiresAt > now);
    const free = await countFree(store, sourceOf(source), now);
    for (const { _id, wokenAt, taskId, runId, stayId } of here.slice(0, free)) {
      if (now.getTime() - wokenAt.getTime() < TAKES_MS) continue;
      const { matchedCount } = await waitersOf(store).updateOne({ _id, wokenAt }, { $set: { wokenAt: now } });
      if (matchedCount === 1) wakeable.push({ taskId, runId, stayId, wokenAt: now });
    }
  }
  return wakeable;
}

/** The word did not reach it: anybody tells it at the next look. */
export async function leaveToTell(store: Store, { wokenAt, ...waiter }: Wakeable): Promise<void> {
  await waitersOf(store).updateOne({ _id: holderOf(waiter), wokenAt }, { $set: { wokenAt: NEVER } });
}

function sourceOf(key: string): SeedSource {
  const name = key.slice(key.indexOf(':') + 1);
  return key.startsWith('pool:') ? { pool: name } : { seedId: name };
}
