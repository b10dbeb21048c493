import type { Filter } from 'mongodb';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import { holderOf, holdingOf, type Holding } from './holders.js';
import { judgedBy } from './lease-clock.js';
import { databaseNow, type Store } from './mongo.js';

/** The right to use and to change one seed. A newer lease of the same seed ends it. */
export type Lease = { seedId: string; holder: string; leaseEpoch: number };

/**
 * Moves the end of the lease to `ttlMs` from now. False: it is lost, so stop using the seed. Renews an expired lease
 * that nobody took yet.
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

/** Releases the seed. False: another holder has the lease, and nothing changed. */
export async function releaseLease(store: Store, lease: Lease): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const { matchedCount } = await seedsOf(store).updateOne(filter, { $set: { lease: null } });
  return matchedCount === 1;
}

/** Matches a free seed: never leased, released, or with an expired lease. */
// `$not $gt` also holds where the field is missing or null, as in the Python package.
export const unleased = (now: Date): Filter<SeedDocument> => ({ 'lease.expiresAt': { $not: { $gt: now } } });

/**
 * Matches the seed while this very lease holds it; null when its id cannot be one. The holder counts as well
 * as the epoch: a foreign client that takes the seed replaces `lease` and leaves the epoch as it was.
 */
export function heldBy(lease: Lease): Filter<SeedDocument> | null {
  const id = objectIdOf(lease.seedId);
  return id && { _id: id, 'lease.holder': lease.holder, leaseEpoch: lease.leaseEpoch };
}

/**
 * Matches the seed as long as this lease may change it: it holds the seed, or it was cleared and nobody has leased the
 * seed with an epoch or stored anything into it since. Null: it may not.
 */
export function rightToSave(lease: Lease, seed: SeedDocument): Filter<SeedDocument> | null {
  const { _id, leaseEpoch, blobId, loginBlob } = seed;
  if (seed.lease) {
    const isOurs = seed.lease.holder === lease.holder && leaseEpoch === lease.leaseEpoch;
    return isOurs ? heldBy(lease) : null;
  }
  // A client that counts no epochs names no login of the blob that it stores.
  if (leaseEpoch !== lease.leaseEpoch || !loginBlob?.equals(blobId)) return null;
  return { _id, lease: null, leaseEpoch };
}

/**
 * Clears every expired lease and returns how many. Nothing depends on it, since acquiring reclaims; a holder that
 * returns later can still save, as long as nobody took the seed.
 */
export async function reapLeases(store: Store): Promise<number> {
  const now = judgedBy(store.client, await databaseNow(store));
  const { modifiedCount } = await seedsOf(store).updateMany(
    { 'lease.expiresAt': { $lte: now } },
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
  /** The Temporal namespace in which its holder is; missing where nobody told. */
  fleet?: string;
  expiresAt: Date;
  /** Milliseconds since its end, by the database's clock. */
  expiredForMs: number;
}

/** The expired leases. Their holders may return and still save until they are cleared. */
export async function listExpired(store: Store): Promise<ExpiredLease[]> {
  const now = judgedBy(store.client, await databaseNow(store));
  return leasesIn(
    await seedsOf(store)
      .find({ 'lease.expiresAt': { $lte: now } })
      .toArray(),
    now,
  );
}

/** The seeds that this assignment has leased, expired or not. */
export async function leaseOfAssignment(store: Store, assignment: Holding): Promise<Lease | null> {
  const holder = holderOf(assignment);
  const seed = await seedsOf(store).findOne({ 'lease.holder': holder });
  return seed && { seedId: seed._id.toHexString(), holder, leaseEpoch: seed.leaseEpoch ?? 0 };
}

/** The leases that a task has or had and nobody cleared, whatever its run; `expiredForMs` is negative before the end. */
export async function leasesOfTask(store: Store, taskId: string): Promise<ExpiredLease[]> {
  const now = await databaseNow(store);
  // Matches all holders that begin with the id and a slash: "0" comes right after it.
  const holder = { $gte: `${taskId}/`, $lt: `${taskId}0` };
  const seeds = await seedsOf(store).find({ 'lease.holder': holder }).toArray();
  return leasesIn(seeds, now).filter((lease) => holdingOf(lease.holder)?.taskId === taskId);
}

const leasesIn = (seeds: readonly SeedDocument[], now: Date): ExpiredLease[] =>
  seeds.flatMap(({ _id, lease, leaseEpoch, leaseFleet }) => {
    if (!lease) return [];
    const { holder, expiresAt } = lease;
    const expiredForMs = now.getTime() - expiresAt.getTime();
    const known = {
      ...(leaseEpoch !== undefined && { leaseEpoch }),
      ...(leaseFleet !== undefined && { fleet: leaseFleet }),
    };
    return [{ seedId: _id.toHexString(), holder, ...known, expiresAt, expiredForMs }];
  });

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
