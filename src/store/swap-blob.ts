import type { Filter, ObjectId } from 'mongodb';
import { unfenced } from './blob-fence.js';
import { deleteBlob } from './blobs.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { loginFields } from './logins.js';
import { databaseNow, isDuplicateKey, type Store } from './mongo.js';

const MAX_PREVIOUS_BLOBS = 3;

/** How many lost races end a swap. */
export const MAX_CONFLICTS = 10;

/** Content that a swap puts into a seed. */
export interface Swap {
  /** The auth.json in the new blob. */
  authJson: Buffer;
  /** Other changes in the same operation. */
  set?: Partial<SeedDocument>;
  /** Ends any hold of the seed. */
  endsHold?: boolean;
  newEpoch?: boolean;
  /** A kept blob that is no longer needed. */
  drop?: ObjectId;
}

/**
 * Makes a blob that was stored after `seed` was read its current one if `filter` holds and it still has the blob that
 * it had; the replaced one is kept with the two before it. False: refused, and nothing changed. Every writer that
 * changes `previousBlobs` changes `blobId` too, so that this one comparison covers both. A login that another seed has
 * by then is kept anyway, but this seed is held.
 */
export async function swapBlob(
  store: Store,
  filter: Filter<SeedDocument>,
  seed: SeedDocument,
  blobId: ObjectId,
  swap: Swap,
): Promise<boolean> {
  const { set, newEpoch = false, endsHold = false, drop } = swap;
  const now = await databaseNow(store);
  const kept = (seed.previousBlobs ?? []).filter((id) => !drop || !id.equals(drop));
  const previousBlobs = [seed.blobId, ...kept].slice(0, MAX_PREVIOUS_BLOBS);
  const login = loginFields(swap.authJson, blobId, seed);
  const update = (fields: Partial<SeedDocument>, unset: Record<string, 1>) =>
    // After a lost connection it is unknown whether this happened; the new blob then stays, named or not.
    seedsOf(store).updateOne(
      { ...filter, ...unfenced(seed), _id: seed._id, blobId: seed.blobId },
      {
        $set: { blobId, previousBlobs, updatedAt: now, lastRefreshedAt: now, ...set, ...fields },
        ...(Object.keys(unset).length > 0 && { $unset: unset }),
        ...(newEpoch && { $inc: { leaseEpoch: 1 } }),
      },
    );
  const ended: Record<string, 1> = endsHold ? { hold: 1 } : {};
  let updated;
  try {
    updated = await update(login, { ...ended, ...(login.login === undefined && { login: 1 }) });
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
    const { login: _taken, ...others } = login;
    const reason = 'its login is in another seed too';
    const hold = {
      kind: 'duplicate',
      reason,
      at: now,
      was: seed.hold?.was ?? seed.status ?? 'alive',
    } as const;
    updated = await update({ ...others, hold, status: 'dead' }, { login: 1 });
  }
  if (updated.matchedCount === 0) return false;
  const dropped = (seed.previousBlobs ?? []).filter((id) => !previousBlobs.some((each) => each.equals(id)));
  // The credential is saved: a blob that cannot be removed does not turn that into a failure.
  for (const old of dropped) await deleteBlob(store, old.toHexString()).catch(() => undefined);
  return true;
}
