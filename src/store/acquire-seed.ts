import type { Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type LeaseRequest, type SeedDocument } from './collections.js';
import { isFit } from './fit-seed.js';
import type { PutAside } from './hold-seed.js';
import { isOfStep, keptRequest, notAfter, takenBefore } from './lease-requests.js';
import { releaseLease, unleased, type Lease } from './leases.js';
import { judgedBy } from './lease-clock.js';
import { databaseNow, type Store } from './mongo.js';

export type SeedSource = { pool: string } | { seedId: string };

/** `busy`: every living seed is leased or at its usage limit, so waiting helps. `none`: it does not. */
export type AcquireResult =
  { kind: 'leased'; lease: Lease } | { kind: 'busy' } | { kind: 'none'; reason: string };

/** How many lost races for a seed make the pool count as busy. */
const MAX_RACES = 5;
/** How many unfit seeds one call may meet; the next call continues. */
const MAX_UNFIT = 50;

const LONGEST_AGO = { lastLeasedAt: 1, _id: 1 } as const;
const EXPIRED_LONGEST = { 'lease.expiresAt': 1, _id: 1 } as const;
type Sort = typeof LONGEST_AGO | typeof EXPIRED_LONGEST;

/**
 * Leases the seed of the pool that was not leased for the longest time, or the named one. A repeated call gets the
 * seed that its holder already has, with a new epoch, and never a second one. `ttlMs` counts from now by the
 * database's clock.
 * @param earlier holders of ended assignments of the same task, each fenced from it: their seed is taken over
 * @param request identifies this attempt: of several that overlap, on whatever worker, only the latest leases
 * @throws TaskError `Unavailable` when a later attempt of its holder came first
 */
export async function acquireSeed(
  store: Store,
  source: SeedSource,
  holder: string,
  ttlMs: number,
  request?: LeaseRequest,
  earlier: readonly string[] = [],
): Promise<AcquireResult> {
  const own = [holder, ...earlier];
  const within = filterOf(source);
  if (within === null) return nothingIn(source);
  for (let race = 0, unfit = 0; race < MAX_RACES && unfit < MAX_UNFIT;) {
    const now = await databaseNow(store);
    const overBy = judgedBy(store.client, now);
    const notLater = notAfter(request, holder);
    const take = (filter: Filter<SeedDocument>, sort: Sort = LONGEST_AGO) =>
      takeSeed(
        store,
        { ...within, ...usable(now), ...filter, ...notLater },
        { holder, ttlMs, now, sort },
        request,
      );
    // A host that was cut off may still save under a lease that ran out: such a seed comes last.
    const seed =
      (await take({ 'lease.holder': { $in: own } })) ??
      (await take({ 'lease.expiresAt': null })) ??
      (await take({ 'lease.expiresAt': { $lte: overBy } }, EXPIRED_LONGEST));
    if (seed) {
      const lease = leaseOf(seed, holder);
      if (request) await releaseSuperseded(store, lease, request);
      if (await isFit(store, seed, lease)) return { kind: 'leased', lease };
      unfit++;
      continue;
    }
    race++;
    if (request) await takenBefore(store, holder, request);
    const refusal = await explainRefusal(store, source, within, own, now);
    if (refusal) return refusal;
  }
  return { kind: 'busy' };
}

/** The seeds of a source; null: the id is malformed. */
export function filterOf(source: SeedSource): Filter<SeedDocument> | null {
  if ('pool' in source) return { poolKey: source.pool };
  const id = objectIdOf(source.seedId);
  return id && { _id: id };
}

/** Matches a seed whose account lives, has quota and can be read: no limit is known, or its reset has come. */
// `$not $gt` also holds where the field is missing or null, as in the Python package.
export const usable = (now: Date): Filter<SeedDocument> => ({
  status: { $ne: 'dead' },
  'metadata.limitedUntil': { $not: { $gt: now } },
  'metadata.putAside.until': { $not: { $gt: now } },
});

async function takeSeed(
  store: Store,
  filter: Filter<SeedDocument>,
  { holder, ttlMs, now, sort }: { holder: string; ttlMs: number; now: Date; sort: Sort },
  request?: LeaseRequest,
): Promise<SeedDocument | null> {
  const lease = { holder, expiresAt: new Date(now.getTime() + ttlMs) };
  const asked = request && { leaseRequest: keptRequest(holder, request) };
  const fleet = store.fleet === undefined ? {} : { leaseFleet: store.fleet };
  return seedsOf(store).findOneAndUpdate(
    filter,
    { $set: { lease, lastLeasedAt: now, ...asked, ...fleet }, $inc: { leaseEpoch: 1 } },
    { sort, returnDocument: 'after' },
  );
}

const leaseOf = ({ _id, leaseEpoch = 0 }: SeedDocument, holder: string): Lease => ({
  seedId: _id.toHexString(),
  holder,
  leaseEpoch,
});

/**
 * Releases leases of earlier attempts of the same activity, whose answers nobody received. Overlapping attempts all
 * look after they took, so that only the latest one keeps its seed.
 * @throws TaskError `Unavailable`, with `lease` released, when a later attempt came first
 */
async function releaseSuperseded(store: Store, lease: Lease, request: LeaseRequest): Promise<void> {
  const { holder, seedId } = lease;
  try {
    for (const seed of await takenBefore(store, holder, request)) {
      const isOther = seed._id.toHexString() !== seedId && seed.lease?.holder === holder;
      if (isOther && isOfStep(seed, request)) await releaseLease(store, leaseOf(seed, holder));
    }
  } catch (error) {
    // If the database did not answer, the next attempt finds this lease and takes it over.
    if (error instanceof TaskError) await releaseLease(store, lease);
    throw error;
  }
}

/** Why nothing was leased; null when a seed is free after all: a holder released it, or another lease failed. */
async function explainRefusal(
  store: Store,
  source: SeedSource,
  within: Filter<SeedDocument>,
  own: readonly string[],
  now: Date,
): Promise<AcquireResult | null> {
  const has = async (filter: Filter<SeedDocument>) =>
    (await seedsOf(store).findOne({ ...within, ...filter }, { projection: { _id: 1 } })) !== null;
  if (!(await has({ status: { $ne: 'dead' } }))) {
    // A settlement is under way, after which the seed can be leased.
    if (await has({ 'hold.kind': 'quarantined' })) return { kind: 'busy' };
    return whyNone(store, source, within);
  }
  // A missing key may still be added; damage stays.
  const isReadable = { 'metadata.putAside.until': { $not: { $gt: now } } };
  const mayWait = { $or: [isReadable, { 'metadata.putAside.kind': 'locked' }] };
  if (!(await has({ status: { $ne: 'dead' }, ...mayWait }))) return whyNone(store, source, within);
  // An overlapping attempt of this holder may have taken one just now.
  if (await has({ ...usable(now), 'lease.holder': { $in: [...own] } })) return null;
  if (await has({ ...usable(now), ...unleased(judgedBy(store.client, now)) })) return null;
  return { kind: 'busy' };
}

function nothingIn(source: SeedSource): AcquireResult {
  const reason =
    'pool' in source
      ? `Pool ${JSON.stringify(source.pool)} has no seed: add one, or name another pool`
      : `Seed ${JSON.stringify(source.seedId)} is unknown`;
  return { kind: 'none', reason };
}

const MAX_NAMED_SEEDS = 10;

/** Every seed is dead, held or unreadable, or there is none. */
async function whyNone(
  store: Store,
  source: SeedSource,
  within: Filter<SeedDocument>,
): Promise<AcquireResult> {
  const projection = { hold: 1, status: 1, 'metadata.putAside': 1 } as const;
  const some = await seedsOf(store).find(within, { projection, limit: MAX_NAMED_SEEDS }).toArray();
  if (some.length === 0) return nothingIn(source);
  const dead = some.map(({ _id, hold, status, metadata }) => {
    if (hold) return `${_id.toHexString()} is out of use: ${hold.reason}`;
    const aside = metadata?.['putAside'] as PutAside | undefined;
    return status !== 'dead' && aside
      ? `${_id.toHexString()} cannot be read: ${aside.reason}`
      : `${_id.toHexString()} is dead`;
  });
  const more =
    some.length < MAX_NAMED_SEEDS ? 0 : (await seedsOf(store).countDocuments(within)) - some.length;
  const list = [...dead, ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
  const reason =
    'pool' in source
      ? `Pool ${JSON.stringify(source.pool)} has no living seed: ${list}; log in again`
      : `Seed ${list}; log in again`;
  return { kind: 'none', reason };
}
