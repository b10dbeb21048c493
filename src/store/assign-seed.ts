import type { Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type SeedDocument, type SeedHold, type SeedStatus } from './collections.js';
import { findSeed } from './current-seed.js';
import { endHold, NOT_HELD } from './hold-seed.js';
import { heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/**
 * Marks a seed, as a person decides; a dead one is never leased. False when the seed is unknown.
 * @throws TaskError `BadInput` for `alive` while something keeps it from being leased
 */
export async function markSeed(store: Store, seedId: string, status: SeedStatus): Promise<boolean> {
  const _id = objectIdOf(seedId);
  if (!_id) return false;
  if (status === 'dead') return setWhere(store, { _id }, { status });
  // One operation, since another client may be taking the seed out of use now.
  if (await setWhere(store, { _id, ...NOT_HELD }, { status })) return true;
  const seed = await findSeed(store, seedId);
  if (seed?.hold) throw held(seedId, seed.hold);
  return seed !== null && setWhere(store, { _id, ...NOT_HELD }, { status });
}

/** The same by the task that holds it. False: the lease is lost, and nothing changed. */
export async function markLeased(store: Store, lease: Lease, status: SeedStatus): Promise<boolean> {
  const filter = heldBy(lease);
  return filter !== null && setWhere(store, { ...filter, ...NOT_HELD }, { status });
}

const WAYS_OUT: Record<SeedHold['kind'], string> = {
  quarantined: 'restore or delete that record',
  duplicate: 'delete the other seed and add this login again',
  exported: 'seeds assign ID --pool P takes it back, if its export is used nowhere',
};

const held = (seedId: string, { kind, reason }: SeedHold): TaskError =>
  new TaskError('BadInput', `Seed ${seedId} is out of use (${reason}): ${WAYS_OUT[kind]}`);

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
  const seed = assignment.pool === undefined ? null : await findSeed(store, seedId);
  // A person who gives it a pool states that its export is not used.
  if (seed?.hold?.kind === 'exported') await endHold(store, seed, 'exported');
  return setFields(store, seedId, fields);
}

/**
 * The same by the task that holds it, but a seed stays in the pool that it has. Null: the lease is lost, and nothing
 * changed; else its pool.
 */
export async function assignLeased(
  store: Store,
  lease: Lease,
  { pool, metadata = {} }: { pool?: string; metadata?: Record<string, unknown> },
): Promise<{ pool: string | null } | null> {
  const filter = heldBy(lease);
  const seed = filter && (await seedsOf(store).findOne(filter));
  if (!seed) return null;
  const fields = Object.entries(checkMetadata(metadata)).map(
    ([key, value]) => [`metadata.${key}`, value] as const,
  );
  const poolKey = seed.poolKey ?? pool;
  const isSet = await setWhere(store, filter, {
    ...Object.fromEntries(fields),
    ...(poolKey !== undefined && { poolKey }),
  });
  return isSet ? { pool: poolKey ?? null } : null;
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
  const _id = objectIdOf(seedId);
  return _id !== null && setWhere(store, { _id }, fields);
}

async function setWhere(
  store: Store,
  filter: Filter<SeedDocument>,
  fields: Record<string, unknown>,
): Promise<boolean> {
  const updatedAt = await databaseNow(store);
  const { matchedCount } = await seedsOf(store).updateOne(filter, { $set: { ...fields, updatedAt } });
  return matchedCount === 1;
}
