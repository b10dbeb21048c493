import type { Filter, ObjectId } from 'mongodb';
import { deleteBlob } from './blobs.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { databaseNow, type Store } from './mongo.js';

const MAX_PREVIOUS_BLOBS = 3;

/** Swaps that another writer may win before it is given up. */
export const MAX_CONFLICTS = 10;

/**
 * Makes a stored blob the seed's current one if `filter` holds and the seed still has the blob that was read;
 * the replaced one is kept with the two before it. False: refused, and nothing changed. Every writer that changes
 * `previousBlobs` changes `blobId` too, so that this one comparison covers both.
 */
export async function swapBlob(
  store: Store,
  filter: Filter<SeedDocument>,
  seed: SeedDocument,
  blobId: ObjectId,
  /** What else changes in the same operation; `drop` is a kept blob that is no longer needed. */
  change: { set?: Partial<SeedDocument>; newEpoch?: boolean; drop?: ObjectId } = {},
): Promise<boolean> {
  const { set, newEpoch = false, drop } = change;
  const now = await databaseNow(store);
  const kept = (seed.previousBlobs ?? []).filter((id) => !drop || !id.equals(drop));
  const previousBlobs = [seed.blobId, ...kept].slice(0, MAX_PREVIOUS_BLOBS);
  // After a lost connection it is unknown whether this happened; the new blob then stays, named or not.
  const { matchedCount } = await seedsOf(store).updateOne(
    { ...filter, _id: seed._id, blobId: seed.blobId },
    {
      $set: { blobId, previousBlobs, updatedAt: now, lastRefreshedAt: now, ...set },
      ...(newEpoch && { $inc: { leaseEpoch: 1 } }),
    },
  );
  if (matchedCount === 0) return false;
  const dropped = (seed.previousBlobs ?? []).filter((id) => !previousBlobs.some((each) => each.equals(id)));
  // The credential is saved by now: a blob that cannot be removed is no reason to report the contrary.
  for (const old of dropped) await deleteBlob(store, old.toHexString()).catch(() => undefined);
  return true;
}
