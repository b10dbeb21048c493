import type { Filter, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type LeaseRequest, type SeedDocument } from './collections.js';
import { isOfStep, keptRequest, notAfter, takenBefore } from './lease-requests.js';
import { releaseLease, unleased, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

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

/** Matches a seed whose account lives and has quota: no limit is known, or its reset has come. */
// `$not $gt` also holds where the field is missing or null, as in the Python package.
export const usable = (now: Date): Filter<SeedDocument> => ({
  status: { $ne: 'dead' },
  'metadata.limitedUntil': { $not: { $gt: now } },
});

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
