import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type SeedStatus } from './collections.js';
import { databaseNow, type Store } from './mongo.js';

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
