import type { Filter, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { requireKnown } from '../formats.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, quarantineOf, seedsOf, type SeedDocument } from './collections.js';
import { databaseNow, type Store } from './mongo.js';
import { deleteQuarantined, requireKnownRecord } from './quarantine.js';
import { dropSecretBlobs, ownMetadata } from './secret-blobs.js';
import { MAX_CONFLICTS } from './swap-blob.js';

/** `leased`: it has a holder, and was left unchanged. */
export type RemoveResult =
  { kind: 'removed'; blobId: string } | { kind: 'leased'; holder: string; until: Date } | { kind: 'unknown' };

/**
 * Takes a seed out of use. Its blobs stay for the collector's grace period. With `force` also one that is leased:
 * its holder's later save-back goes to quarantine.
 */
export async function deleteSeed(
  store: Store,
  seedId: string,
  { force = false }: { force?: boolean } = {},
): Promise<RemoveResult> {
  // Before the document is removed: no blob counts as old to a running collection, or after a crash in between.
  const removed = await removeDocument(store, seedId, force, (seed) => noteDropped(store, seed));
  return removed.kind === 'removed'
    ? { kind: 'removed', blobId: removed.seed.blobId.toHexString() }
    : removed;
}

/** Blobs of the Python package become ours to collect, and none counts as old before the grace period is over. */
async function noteDropped(store: Store, seed: SeedDocument): Promise<void> {
  const seedId = seed._id.toHexString();
  await dropSecretBlobs(store, blobsOf(seed), await databaseNow(store), {
    ...ownMetadata(store, 'seed'),
    seedId,
  });
}

/** Removes a seed at once, with its blobs and its quarantine. `force` as with `deleteSeed`. */
export async function purgeSeed(
  store: Store,
  seedId: string,
  { force = false }: { force?: boolean } = {},
): Promise<RemoveResult> {
  for (const record of await recordsOf(store, seedId)) requireKnownRecord(record);
  const removed = await removeDocument(store, seedId, force, (seed) => dropSecretBlobs(store, blobsOf(seed)));
  if (removed.kind !== 'removed') return removed;
  const { seed } = removed;
  for (const blobId of blobsOf(seed)) await deleteBlob(store, blobId.toHexString());
  for (const { _id } of await recordsOf(store, seed._id.toHexString()))
    await deleteQuarantined(store, _id.toHexString());
  return { kind: 'removed', blobId: seed.blobId.toHexString() };
}

const recordsOf = (store: Store, seedId: string) => quarantineOf(store).find({ seedId }).toArray();

const blobsOf = (seed: SeedDocument): ObjectId[] => [seed.blobId, ...(seed.previousBlobs ?? [])];

async function removeDocument(
  store: Store,
  seedId: string,
  force: boolean,
  prepare?: (seed: SeedDocument) => Promise<void>,
): Promise<
  | { kind: 'removed'; seed: SeedDocument }
  | { kind: 'leased'; holder: string; until: Date }
  | { kind: 'unknown' }
> {
  const _id = objectIdOf(seedId);
  if (!_id) return { kind: 'unknown' };
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const found = await seedsOf(store).findOne({ _id });
    if (!found) return { kind: 'unknown' };
    requireKnown('seed', found.manifestVersion, `Seed ${seedId}`);
    // The holder of a lease that ran out may come back and save, as long as nobody cleared it.
    if (found.lease && !force)
      return { kind: 'leased', holder: found.lease.holder, until: found.lease.expiresAt };
    await prepare?.(found);
    // Removes exactly what was prepared: every change of its blobs changes this field.
    const filter: Filter<SeedDocument> = { _id, blobId: found.blobId, ...(force ? {} : { lease: null }) };
    const seed = await seedsOf(store).findOneAndDelete(filter);
    if (seed) return { kind: 'removed', seed };
  }
  throw new TaskError('Unavailable', `Seed ${seedId} kept changing hands; try again`);
}
