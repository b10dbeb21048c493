import { type Binary, ObjectId, type Collection } from 'mongodb';
import { createHash } from 'node:crypto';
import { reasonOf, TaskError } from '../errors.js';
import { deleteBlob, findBlob } from './blobs.js';
import { objectIdOf, snapshotsOf } from './collections.js';
import type { Store } from './mongo.js';

/**
 * Blobs that no snapshot is sure to name: those that are being written and those that are about to go. An
 * entry is written before either begins and removed when it is over, so what a crash leaves is found here;
 * no other blob is ever looked at, since the bucket belongs to others as well.
 */
interface LooseBlob {
  _id: ObjectId;
  /** When it was noted. */
  at: Date;
  /** Whose it is, where that is known. */
  taskId?: string;
}

const looseOf = (store: Store): Collection<LooseBlob> =>
  store.db.collection(`${store.prefix}_codex_snapshot_loose_blobs`);

/** How long an upload may take before its blob counts as left over. Milliseconds. */
const GRACE_MS = 24 * 60 * 60 * 1000;

const idsOf = (blobIds: readonly string[]): ObjectId[] => blobIds.map((id) => new ObjectId(id));

/** An id for a blob that is about to be written for a task, already noted. */
export async function reserveBlob(store: Store, taskId: string): Promise<string> {
  const id = new ObjectId();
  await looseOf(store).insertOne({ _id: id, at: new Date(), taskId });
  return id.toHexString();
}

/** A snapshot names them now. */
export async function keepBlobs(store: Store, blobIds: readonly string[]): Promise<void> {
  if (blobIds.length > 0) await looseOf(store).deleteMany({ _id: { $in: idsOf(blobIds) } });
}

/**
 * Whether these blobs are all there and none is about to go. Asked after a snapshot was written that names
 * blobs of an older one: `dropBlobs` notes first and looks for snapshots then, so one of the two sees the other.
 */
export async function areKept(store: Store, blobIds: readonly string[]): Promise<boolean> {
  const _id = { $in: idsOf(blobIds) };
  if (await looseOf(store).findOne({ _id })) return false;
  return (await store.db.collection('fs.files').countDocuments({ _id })) === new Set(blobIds).size;
}

/** Notes blobs that the removal of snapshots may leave without one; `dropBlobs` goes on. */
export async function noteLoose(store: Store, blobIds: readonly string[], taskId?: string): Promise<void> {
  const $set = { at: new Date(), ...(taskId !== undefined && { taskId }) };
  for (const _id of idsOf(blobIds)) await looseOf(store).updateOne({ _id }, { $set }, { upsert: true });
}

/** The noted blobs of a task. */
export async function looseBlobsOf(store: Store, taskId: string): Promise<string[]> {
  const found = await looseOf(store).find({ taskId }).toArray();
  return found.map(({ _id }) => _id.toHexString());
}

/** Removes those of noted blobs that no snapshot names. */
export async function dropBlobs(store: Store, blobIds: readonly string[]): Promise<void> {
  for (const blobId of blobIds) {
    const id = new ObjectId(blobId);
    const naming = await snapshotsOf(store).findOne({ $or: [{ workdirBlobId: id }, { changeBlobIds: id }] });
    if (!naming) await deleteBlob(store, blobId);
    await looseOf(store).deleteOne({ _id: id });
  }
}

/** Removes what uploads and removals that never ended left behind, and returns the ids of what was noted. */
export async function collectLooseBlobs(store: Store, graceMs = GRACE_MS): Promise<string[]> {
  const before = { at: { $lt: new Date(Date.now() - graceMs) } };
  const found = await looseOf(store).find(before, { limit: 100 }).toArray();
  const ids = found.map(({ _id }) => _id.toHexString());
  await dropBlobs(store, ids);
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
  const info = await findBlob(store, blobId);
  const filesId = objectIdOf(blobId);
  if (!info || !filesId) throw unreadable(blobId, 'does not exist');
  const { sha256 } = info.metadata;
  const hash = createHash('sha256');
  const chunks = store.db.collection<{ n: number; data: Binary }>('fs.chunks');
  const file = await store.db.collection<{ chunkSize: number }>('fs.files').findOne({ _id: filesId });
  const batchSize = Math.max(1, Math.floor(READ_AHEAD_BYTES / (file?.chunkSize ?? READ_AHEAD_BYTES)));
  const cursor = chunks.find({ files_id: filesId }, { sort: { n: 1 }, batchSize });
  let length = 0;
  let next = 0;
  try {
    for await (const { n, data } of cursor) {
      if (n !== next++) throw unreadable(blobId, `misses its chunk ${next - 1}`);
      const bytes = Buffer.from(data.buffer.buffer, data.buffer.byteOffset, data.position);
      length += bytes.length;
      hash.update(bytes);
      yield bytes;
    }
  } catch (error) {
    if (error instanceof TaskError) throw error;
    // Whether the blob is whole is not known then: trying again can help.
    throw new TaskError('Unavailable', `Blob ${blobId} cannot be read: ${reasonOf(error)}`, { cause: error });
  } finally {
    await cursor.close().catch(() => undefined);
  }
  if (length !== info.length) throw unreadable(blobId, `has ${length} of ${info.length} bytes`);
  if (typeof sha256 === 'string' && hash.digest('hex') !== sha256)
    throw unreadable(blobId, 'has another hash');
}

const unreadable = (blobId: string, what: string): TaskError =>
  new TaskError('SnapshotUnreadable', `Blob ${blobId} ${what}`);
