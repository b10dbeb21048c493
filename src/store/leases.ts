import type { Filter, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type LeaseRequest, type SeedDocument, type SeedStatus } from './collections.js';
import { isOfStep, keptRequest, notAfter, takenBefore } from './lease-requests.js';
import { databaseNow, type Store } from './mongo.js';

/** The right to use and to change one seed. A newer lease of the same seed ends it. */
export type Lease = { seedId: string; holder: string; leaseEpoch: number };

export type SeedSource = { pool: string } | { seedId: string };

/** `busy`: every living seed is leased or at its usage limit, so waiting helps. `none`: it does not. */
export type AcquireResult =
  { kind: 'leased'; lease: Lease } | { kind: 'busy' } | { kind: 'none'; reason: string };

/** Times a seed may be free when looked at and gone when taken before the pool counts as busy. */
const MAX_RACES = 5;

/**
 * Leases the seed of the pool that was not leased for the longest time, or the named one. A holder that has
 * one already gets that one again with a new epoch, so that a repeated call never takes a second seed.
 * `ttlMs` counts from now by the database's clock.
 * @param request which attempt this is: of several that overlap, on whatever worker, only the latest leases
 * @throws TaskError `Unavailable` in an attempt that a later one of its holder came before
 */
export async function acquireSeed(
  store: Store,
  source: SeedSource,
  holder: string,
  ttlMs: number,
  request?: LeaseRequest,
): Promise<AcquireResult> {
  const within = filterOf(source);
  if (within === null) return nothingIn(source);
  for (let race = 0; race < MAX_RACES; race++) {
    const now = await databaseNow(store);
    const notLater = notAfter(request, holder);
    const own = { ...within, ...usable(now), 'lease.holder': holder, ...notLater };
    const free = { ...within, ...usable(now), ...unleased(now), ...notLater };
    const take = (filter: Filter<SeedDocument>) =>
      takeSeed(store, filter, { holder, expiresAt: new Date(now.getTime() + ttlMs) }, now, request);
    const lease = (await take(own)) ?? (await take(free));
    if (lease) {
      if (request) await keepNewest(store, lease, request);
      return { kind: 'leased', lease };
    }
    if (request) await takenBefore(store, holder, request);
    const refusal = await explainRefusal(store, source, within, holder, now);
    if (refusal) return refusal;
  }
  return { kind: 'busy' };
}

/** The seeds of a source; null: its id can be none. */
export function filterOf(source: SeedSource): Filter<SeedDocument> | null {
  if ('pool' in source) return { poolKey: source.pool };
  const id = objectIdOf(source.seedId);
  return id && { _id: id };
}

// `$not $gt` also holds where the field is missing or null, as in the Python package.
export const usable = (now: Date): Filter<SeedDocument> => ({
  status: { $ne: 'dead' },
  'metadata.limitedUntil': { $not: { $gt: now } },
});
/** Matches a seed that nobody holds: never leased, released, or its lease ran out. */
export const unleased = (now: Date): Filter<SeedDocument> => ({ 'lease.expiresAt': { $not: { $gt: now } } });

async function takeSeed(
  store: Store,
  filter: Filter<SeedDocument>,
  lease: { holder: string; expiresAt: Date },
  now: Date,
  request?: LeaseRequest,
): Promise<Lease | null> {
  const { holder } = lease;
  const asked = request && { leaseRequest: keptRequest(holder, request) };
  const seed = await seedsOf(store).findOneAndUpdate(
    filter,
    { $set: { lease, lastLeasedAt: now, ...asked }, $inc: { leaseEpoch: 1 } },
    { sort: { lastLeasedAt: 1, _id: 1 }, returnDocument: 'after' },
  );
  return seed && leaseOf(seed, holder);
}

const leaseOf = ({ _id, leaseEpoch = 0 }: SeedDocument, holder: string): Lease => ({
  seedId: _id.toHexString(),
  holder,
  leaseEpoch,
});

/**
 * Gives back what earlier attempts of the same step took: nobody has their answer. Attempts that overlap all look
 * after they took, so that only the seed of the latest stays leased.
 * @throws TaskError `Unavailable`, with `lease` given back, when a later attempt came before
 */
async function keepNewest(store: Store, lease: Lease, request: LeaseRequest): Promise<void> {
  const { holder, seedId } = lease;
  try {
    for (const seed of await takenBefore(store, holder, request)) {
      const isOther = seed._id.toHexString() !== seedId && seed.lease?.holder === holder;
      if (isOther && isOfStep(seed, request)) await releaseLease(store, leaseOf(seed, holder));
    }
  } catch (error) {
    // It may also be that the database did not answer: then the next attempt finds this lease and takes it over.
    if (error instanceof TaskError) await releaseLease(store, lease);
    throw error;
  }
}

/** Why nothing was taken; null when a seed is there after all: another one let it go, or was faster elsewhere. */
async function explainRefusal(
  store: Store,
  source: SeedSource,
  within: Filter<SeedDocument>,
  holder: string,
  now: Date,
): Promise<AcquireResult | null> {
  const fields = { status: 1, lease: 1, 'metadata.limitedUntil': 1 } as const;
  const seeds = await seedsOf(store).find(within, { projection: fields }).toArray();
  if (seeds.length === 0) return nothingIn(source);
  if (seeds.every((seed) => seed.status === 'dead')) return { kind: 'none', reason: allDead(source, seeds) };
  // An overlapping attempt of this holder may have taken one just now.
  const isOwn = (seed: LeaseState) => seed.lease?.holder === holder && isUsable(seed, now);
  return seeds.some((seed) => isOwn(seed) || isFree(seed, now)) ? null : { kind: 'busy' };
}

function nothingIn(source: SeedSource): AcquireResult {
  const reason =
    'pool' in source
      ? `Pool ${JSON.stringify(source.pool)} has no seed: add one, or name another pool`
      : `Seed ${JSON.stringify(source.seedId)} is unknown`;
  return { kind: 'none', reason };
}

const MAX_NAMED_SEEDS = 10;

function allDead(source: SeedSource, seeds: { _id: ObjectId }[]): string {
  const dead = seeds.slice(0, MAX_NAMED_SEEDS).map((seed) => `${seed._id.toHexString()} is dead`);
  if (seeds.length > dead.length) dead.push(`and ${seeds.length - dead.length} more`);
  const list = dead.join(', ');
  return 'pool' in source
    ? `Pool ${JSON.stringify(source.pool)} has no living seed: ${list}; log in again`
    : `Seed ${list}; log in again`;
}

type LeaseState = Pick<SeedDocument, 'status' | 'lease' | 'metadata'>;

function isUsable(seed: LeaseState, now: Date): boolean {
  const limit = seed.metadata?.['limitedUntil'];
  return seed.status !== 'dead' && !(limit instanceof Date && limit > now);
}

const isFree = (seed: LeaseState, now: Date): boolean =>
  isUsable(seed, now) && !(seed.lease && seed.lease.expiresAt > now);

/**
 * Moves the end of the lease to `ttlMs` from now. False: it is lost, stop using the seed. A lease that ran
 * out but that nobody took yet is renewed.
 */
export async function renewLease(store: Store, lease: Lease, ttlMs: number): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const expiresAt = new Date((await databaseNow(store)).getTime() + ttlMs);
  const { matchedCount } = await seedsOf(store).updateOne(filter, {
    $set: { 'lease.expiresAt': expiresAt },
  });
  return matchedCount === 1;
}

/** Gives the seed back. False: the lease was not ours any more, and nothing changed. */
export async function releaseLease(store: Store, lease: Lease): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const { matchedCount } = await seedsOf(store).updateOne(filter, { $set: { lease: null } });
  return matchedCount === 1;
}

/**
 * Matches the seed while this very lease holds it; null when its id cannot be one. The holder counts as well
 * as the epoch: a foreign client that takes the seed replaces `lease` and leaves the epoch as it was.
 */
export function heldBy(lease: Lease): Filter<SeedDocument> | null {
  const id = objectIdOf(lease.seedId);
  return id && { _id: id, 'lease.holder': lease.holder, leaseEpoch: lease.leaseEpoch };
}

/**
 * Clears every lease that ran out and returns how many. Nothing depends on it, since acquiring reclaims; a
 * holder that comes back after it cannot save to its seed any more.
 */
export async function reapLeases(store: Store): Promise<number> {
  const now = await databaseNow(store);
  const { modifiedCount } = await seedsOf(store).updateMany(
    { lease: { $ne: null }, ...unleased(now) },
    { $set: { lease: null } },
  );
  return modifiedCount;
}

/** A lease that ran out and that nobody cleared yet. */
export interface ExpiredLease {
  seedId: string;
  holder: string;
  /** Missing on those of the Python package, which leaves an earlier lease's epoch, though. */
  leaseEpoch?: number;
  expiresAt: Date;
  /** Milliseconds since its end, by the database's clock. */
  expiredForMs: number;
}

/** The leases that ran out. Their holders may come back and still save, as long as nobody clears them. */
export const listExpired = (store: Store): Promise<ExpiredLease[]> =>
  listLeases(store, (lease) => lease.expiredForMs >= 0);

/** The leases that a task has or had and nobody cleared, whatever its run; `expiredForMs` is negative before the end. */
export const leasesOfTask = (store: Store, taskId: string): Promise<ExpiredLease[]> =>
  listLeases(store, ({ holder }) => holder.slice(0, holder.lastIndexOf('/')) === taskId);

async function listLeases(store: Store, isMeant: (lease: ExpiredLease) => boolean): Promise<ExpiredLease[]> {
  const now = await databaseNow(store);
  const seeds = await seedsOf(store)
    .find({ lease: { $ne: null } })
    .toArray();
  const leases = seeds.flatMap(({ _id, lease, leaseEpoch }) => {
    if (!lease) return [];
    const { holder, expiresAt } = lease;
    const expiredForMs = now.getTime() - expiresAt.getTime();
    const epoch = leaseEpoch === undefined ? {} : { leaseEpoch };
    return [{ seedId: _id.toHexString(), holder, ...epoch, expiresAt, expiredForMs }];
  });
  return leases.filter(isMeant);
}

/** Clears a lease that ran out. False: it was renewed, released or taken in between. */
export async function clearExpired(
  store: Store,
  { seedId, holder, expiresAt }: ExpiredLease,
): Promise<boolean> {
  const _id = objectIdOf(seedId);
  if (!_id) return false;
  const filter = { _id, 'lease.holder': holder, 'lease.expiresAt': expiresAt };
  const { matchedCount } = await seedsOf(store).updateOne(filter, { $set: { lease: null } });
  return matchedCount === 1;
}

/** Marks a seed; a dead one is never leased. False when the seed is unknown. */
export async function markSeed(store: Store, seedId: string, status: SeedStatus): Promise<boolean> {
  return setFields(store, seedId, { status });
}

/**
 * Moves a seed to a pool and sets single keys of its metadata; the other keys stay. A date as
 * `metadata.limitedUntil` keeps the seed from being leased before it. False when the seed is unknown.
 * @throws TaskError `BadInput` for a metadata key that cannot be a field name
 */
export async function assignSeed(
  store: Store,
  seedId: string,
  assignment: { pool?: string; metadata?: Record<string, unknown> },
): Promise<boolean> {
  const fields: Record<string, unknown> = {};
  if (assignment.pool !== undefined) fields['poolKey'] = assignment.pool;
  for (const [key, value] of Object.entries(checkMetadata(assignment.metadata ?? {}))) {
    fields[`metadata.${key}`] = value;
  }
  return setFields(store, seedId, fields);
}

/** Metadata as given. @throws TaskError `BadInput` for a key that cannot be a field name */
export function checkMetadata(metadata: Record<string, unknown>): Record<string, unknown> {
  const wrong = Object.keys(metadata).find((key) => !/^[^$.\0][^.\0]*$/.test(key));
  if (wrong === undefined) return metadata;
  throw new TaskError(
    'BadInput',
    `metadata: expected keys without dots that do not start with $, got ${JSON.stringify(wrong)}`,
  );
}

async function setFields(store: Store, seedId: string, fields: Record<string, unknown>): Promise<boolean> {
  const id = objectIdOf(seedId);
  if (!id) return false;
  const updatedAt = await databaseNow(store);
  const { matchedCount } = await seedsOf(store).updateOne({ _id: id }, { $set: { ...fields, updatedAt } });
  return matchedCount === 1;
}
