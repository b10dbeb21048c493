import type { Filter } from 'mongodb';
import { seedsOf, type SeedDocument, type SeedHold } from './collections.js';
import type { SeedBase } from './current-seed.js';
import { heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** Matches a seed that nothing keeps out of use. */
export const NOT_HELD = { hold: null } as unknown as Filter<SeedDocument>;

/**
 * Takes a seed out of use and releases its lease in one step: nobody leases it until the cause is settled. Its status
 * is `dead` meanwhile, so that clients without holds skip it too. False: another holder has the lease, and nothing
 * changed.
 */
export async function holdSeed(
  store: Store,
  lease: Lease,
  hold: Pick<SeedHold, 'kind' | 'reason'>,
): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const seed = await seedsOf(store).findOne(filter);
  return seed !== null && setHold(store, filter, seed, hold, { lease: null });
}

/**
 * Takes a seed out of use that has no holder, or that `filter` matches. A hold that is more than its own quarantine
 * keeps its cause.
 */
export async function setHold(
  store: Store,
  filter: Filter<SeedDocument>,
  seed: SeedDocument,
  hold: Pick<SeedHold, 'kind' | 'reason'>,
  set: Partial<SeedDocument> = {},
): Promise<boolean> {
  const was = seed.hold?.was ?? seed.status ?? 'alive';
  const isOut = hold.kind === 'quarantined' && seed.hold !== undefined && seed.hold.kind !== 'quarantined';
  const next = isOut ? seed.hold : { ...hold, was, at: await databaseNow(store) };
  const { matchedCount } = await seedsOf(store).updateOne(
    { ...filter, _id: seed._id },
    { $set: { ...set, status: 'dead', ...(next && { hold: next }) } },
  );
  return matchedCount === 1;
}

/**
 * Ends a hold of this kind and restores the earlier state of the seed. `filter`: a condition that must hold
 * meanwhile.
 */
export async function endHold(
  store: Store,
  seed: SeedDocument,
  kind: SeedHold['kind'],
  filter: Filter<SeedDocument> = {},
): Promise<boolean> {
  if (seed.hold?.kind !== kind) return false;
  const { matchedCount } = await seedsOf(store).updateOne(
    { ...filter, _id: seed._id, 'hold.kind': kind },
    { $set: { status: seed.hold.was }, $unset: { hold: 1 } },
  );
  return matchedCount === 1;
}

/** How long a seed that cannot be read is left alone. Milliseconds. */
const UNREADABLE_MS = 5 * 60_000;
/** The same where only the key is missing here: another worker may have it. */
const LOCKED_MS = 30_000;

/** As stored in a seed's metadata. */
export interface PutAside {
  until: Date;
  kind: Exclude<SeedBase['kind'], 'read'>;
  reason: string;
}

/**
 * Releases a seed that cannot be used now and sets it aside for a while, with the reason in its metadata. False:
 * another holder has the lease, and nothing changed.
 */
export async function putAside(
  store: Store,
  lease: Lease,
  { kind, reason }: { kind: PutAside['kind']; reason: string },
): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const forMs = kind === 'locked' ? LOCKED_MS : UNREADABLE_MS;
  const until = new Date((await databaseNow(store)).getTime() + forMs);
  const aside: PutAside = { until, kind, reason };
  const { matchedCount } = await seedsOf(store).updateOne(filter, {
    $set: { lease: null, 'metadata.putAside': aside },
  });
  return matchedCount === 1;
}
