import type { Filter, GridFSFile, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import { databaseNow, type Store } from './mongo.js';
import { putSecret, type SecretPlace } from './secret-blobs.js';

// Fences blobs between their upload and the document that names them, since the collector deletes unnamed blobs. The
// collector fences blobs first and looks for names after that, so that one always finds the other, however long
// either is frozen and whatever their clocks say.

/** How often one secret is stored again. */
const MAX_TIMES = 5;

const filesOf = (store: Store) => store.db.collection<GridFSFile>('fs.files');

/** Fences blobs: a writer that names one from now on finds out by the functions below. */
export async function fenceBlobs(store: Store, files: readonly GridFSFile[]): Promise<void> {
  const ids = files.map(({ _id }) => _id);
  const collectedAt = await databaseNow(store);
  await filesOf(store).updateMany({ _id: { $in: ids } }, { $set: { 'metadata.collectedAt': collectedAt } });
  const seedIds = files.flatMap(({ metadata }) => seedIdIn(metadata?.['seedId']));
  await seedsOf(store).updateMany({ _id: { $in: seedIds } }, { $inc: { blobFence: 1 } });
}

const seedIdIn = (seedId: unknown): ObjectId[] => {
  const id = typeof seedId === 'string' ? objectIdOf(seedId) : null;
  return id ? [id] : [];
};

/** Matches the seed as long as no blob of it was fenced since it was read: blobs stored after that may be named. */
export const unfenced = ({ blobFence }: SeedDocument): Filter<SeedDocument> =>
  ({ blobFence: blobFence ?? null }) as Filter<SeedDocument>;

/**
 * Stores a secret again while its blob is gone or about to be deleted, for documents that are new or have no fence of
 * their own.
 * @param rename replaces the first blob by the second one in the document; false: the document names another blob by
 * now
 */
export async function storeUntilKept(
  store: Store,
  secret: { place: SecretPlace; bytes: Buffer; by?: { processId?: string } },
  blobId: ObjectId,
  rename: (from: ObjectId, to: ObjectId) => Promise<boolean>,
): Promise<ObjectId> {
  let named = blobId;
  for (let count = 0; await isCollected(store, named); count++) {
    if (count === MAX_TIMES)
      throw new TaskError(
        'Unavailable',
        `Blob ${named.toHexString()} was deleted each time right after it was stored`,
      );
    const next = await putSecret(store, secret.place, secret.bytes, secret.by);
    if (!(await rename(named, next))) {
      await deleteBlob(store, next.toHexString());
      break;
    }
    named = next;
  }
  return named;
}

async function isCollected(store: Store, _id: ObjectId): Promise<boolean> {
  const file = await filesOf(store).findOne({ _id }, { projection: { 'metadata.collectedAt': 1 } });
  return file === null || file.metadata?.['collectedAt'] !== undefined;
}
