import { type Binary, ObjectId, type Collection, type GridFSFile } from 'mongodb';
import { createHash } from 'node:crypto';
import { reasonOf, TaskError } from '../errors.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, snapshotsOf, type SnapshotDocument } from './collections.js';
import { databaseNow, type Store } from './mongo.js';

/**
 * Blobs that may have no snapshot: those being written and those about to be removed. An entry exists from before
 * that until it is over, so that leftovers of a crash are found here; other blobs are never touched, since others use
 * the bucket too.
 */
interface LooseBlob {
  _id: ObjectId;
  /** When it was recorded, by the database's clock. */
  at: Date;
  /** When it is deleted unless a snapshot names it. */
  isGoing?: boolean;
  /** Whose it is, where that is known. */
  taskId?: string;
}

const looseOf = (store: Store): Collection<LooseBlob> =>
  store.db.collection(`${store.prefix}_codex_snapshot_loose_blobs`);

/** How long an upload may take before its blob counts as left over. Milliseconds. */
const GRACE_MS = 24 * 60 * 60 * 1000;

const idsOf = (blobIds: readonly string[]): ObjectId[] => blobIds.map((id) => new ObjectId(id));

/** Records an id for a blob of a task that is about to be written. */
export async function reserveBlob(store: Store, taskId: string): Promise<string> {
  const id = new ObjectId();
  await looseOf(store).insertOne({ _id: id, at: await databaseNow(store), taskId });
  return id.toHexString();
}

/** Removes the notes of blobs that a snapshot names now, or that are gone. */
export async function keepBlobs(store: Store, blobIds: readonly string[]): Promise<void> {
  if (blobIds.length > 0) await looseOf(store).deleteMany({ _id: { $in: idsOf(blobIds) } });
}

/**
 * The same for a blob that was stored for a snapshot whose document is written. False: it counted as left over before
 * that, and is gone or about to go. Whoever deletes one marks its note first, then looks for snapshots: one sees the other.
 */
export async function keepStored(store: Store, blobId: string): Promise<boolean> {
  const _id = new ObjectId(blobId);
  return (await looseOf(store).deleteOne({ _id, isGoing: { $ne: true } })).deletedCount === 1;
}

/**
 * Whether these blobs are all there and none is about to go. Asked after a snapshot was written that names
 * blobs of an older one: `dropBlobs` looks for snapshots after they were noted, so one of the two sees the other.
 */
export async function areKept(store: Store, blobIds: readonly string[]): Promise<boolean> {
  const _id = { $in: idsOf(blobIds) };
  const [noted, stored] = await Promise.all([
    looseOf(store).findOne({ _id }),
    store.db.collection('fs.files').countDocuments({ _id }),
  ]);
  return noted === null && stored === new Set(blobIds).size;
}

/** Notes blobs that the removal of snapshots may leave without one; `dropBlobs` continues. */
export async function noteLoose(store: Store, blobIds: readonly string[], taskId?: string): Promise<void> {
  if (blobIds.length === 0) return;
  const update = { $set: { at: await databaseNow(store), ...(taskId !== undefined && { taskId }) } };
  await looseOf(store).bulkWrite(
    idsOf(blobIds).map((_id) => ({ updateOne: { filter: { _id }, update, upsert: true } })),
    { ordered: false },
  );
}

/** The noted blobs of a task. */
export async function looseBlobsOf(store: Store, taskId: string): Promise<string[]> {
  const found = await looseOf(store).find({ taskId }).toArray();
  return found.map(({ _id }) => _id.toHexString());
}

/** Removes those of noted blobs that no snapshot names. */
export async function dropSnapshotBlobs(store: Store, blobIds: readonly string[]): Promise<void> {
  if (blobIds.length === 0) return;
  const $in = idsOf(blobIds);
  await looseOf(store).updateMany({ _id: { $in } }, { $set: { isGoing: true } });
  const naming = await snapshotsOf(store)
    .find(
      { $or: [{ workdirBlobId: { $in } }, { changeBlobIds: { $in } }] },
      { projection: { workdirBlobId: 1, changeBlobIds: 1 } },
    )
    .toArray();
  const named = new Set(naming.flatMap(blobIdsOf));
  for (const blobId of blobIds) if (!named.has(blobId)) await deleteBlob(store, blobId);
  await keepBlobs(store, blobIds);
}

/** The blobs that a snapshot's document names. */
export const blobIdsOf = ({
  workdirBlobId,
  changeBlobIds = [],
}: Pick<SnapshotDocument, 'workdirBlobId' | 'changeBlobIds'>): string[] =>
  [workdirBlobId, ...changeBlobIds].map((id) => id.toHexString());

/** Removes leftovers of broken uploads and removals, and returns the ids of the recorded blobs. */
export async function collectLooseBlobs(store: Store, graceMs = GRACE_MS): Promise<string[]> {
  const before = { at: { $lt: new Date((await databaseNow(store)).getTime() - graceMs) } };
  const found = await looseOf(store).find(before, { limit: 100 }).toArray();
  const ids = found.map(({ _id }) => _id.toHexString());
  await dropSnapshotBlobs(store, ids);
  return ids;
}

/** Bytes that one question to the database may bring. */
const READ_AHEAD_BYTES = 4 * 1024 * 1024;

/**
 * A blob's bytes, a few chunks in memory at a time, whatever its size; its hash, where it has one, is checked
 * at the end. The driver's own stream leaves it to the server how much comes at once, and the embedded one
 * sends 100 MB.
 * @throws TaskError `SnapshotUnreadable` when it is missing, cut off or damaged
 */
export async function* streamBlob(store: Store, blobId: string): AsyncGenerator<Buffer> {
  const _id = objectIdOf(blobId);
  const file = _id && (await store.db.collection<GridFSFile>('fs.files').findOne({ _id }));
  if (!file) throw unreadable(blobId, 'does not exist');
  const sha256: unknown = file.metadata?.['sha256'];
  const hash = createHash('sha256');
  let length = 0;
  try {
    for await (const bytes of chunksOf(store, file)) {
      length += bytes.length;
      hash.update(bytes);
      yield bytes;
    }
  } catch (error) {
    if (error instanceof TaskError) throw error;
    // It is unknown then whether the blob is whole, so a retry can help.
    throw new TaskError('Unavailable', `Blob ${blobId} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  if (length !== file.length) throw unreadable(blobId, `has ${length} of ${file.length} bytes`);
  if (typeof sha256 === 'string' && hash.digest('hex') !== sha256)
    throw unreadable(blobId, 'has another hash');
}

/**
 * The chunks in their order. They come in it unasked, by the index of a server that has one and as they were
 * written in the embedded one, which would take all of them into memory to sort them and answer nobody
 * meanwhile. Only where one is out of place the rest is asked for in order.
 */
async function* chunksOf(store: Store, { _id, chunkSize }: GridFSFile): AsyncGenerator<Buffer> {
  const chunks = store.db.collection<{ n: number; data: Binary }>('fs.chunks');
  const batchSize = Math.max(1, Math.floor(READ_AHEAD_BYTES / chunkSize));
  let next = 0;
  for (const sort of [null, { n: 1 }] as const) {
    const rest = next === 0 ? {} : { n: { $gte: next } };
    const cursor = chunks.find({ files_id: _id, ...rest }, { batchSize, ...(sort && { sort }) });
    let isInPlace = true;
    try {
      for await (const { n, data } of cursor) {
        isInPlace = n === next;
        if (!isInPlace) break;
        next++;
        yield Buffer.from(data.buffer.buffer, data.buffer.byteOffset, data.position);
      }
    } finally {
      await cursor.close().catch(() => undefined);
    }
    if (isInPlace) return;
  }
  throw unreadable(_id.toHexString(), `misses its chunk ${next}`);
}

const unreadable = (blobId: string, what: string): TaskError =>
  new TaskError('SnapshotUnreadable', `Blob ${blobId} ${what}`);
