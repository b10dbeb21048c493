import { createHash } from 'node:crypto';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GridFSBucket, MongoGridFSChunkError, ObjectId, type Collection, type GridFSFile } from 'mongodb';
import { reasonOf, TaskError } from '../errors.js';
import { objectIdOf } from './collections.js';
import type { Store } from './mongo.js';

/** What is known of a blob without reading it. `length` in bytes. */
export interface BlobInfo {
  id: string;
  filename: string;
  length: number;
  storedAt: Date;
  metadata: Record<string, unknown>;
}

/** Largest piece that is handed to the driver at once: it sends what one piece holds in parallel. */
const PIECE_BYTES = 255 * 1024;

/** Chunk size of streams, which may be large: a quarter of the driver's round trips. */
const STREAM_CHUNK_BYTES = 1024 * 1024;

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Stores bytes or a stream and returns the id in hex, the given one or a new one, once all of it is durable.
 * `metadata.sha256` (hex) is added. Nothing can be read under the id before; what a failed upload wrote is removed.
 */
export async function putBlob(
  store: Store,
  content: Uint8Array | Readable,
  options: { filename: string; id?: string; metadata?: Record<string, unknown>; signal?: AbortSignal },
): Promise<string> {
  const metadata: Record<string, unknown> = { ...options.metadata };
  const streamed = content instanceof Readable;
  const source = streamed ? content : Readable.from(piecesOf(content));
  const upload = bucketOf(store).openUploadStream(options.filename, {
    metadata,
    ...(options.id !== undefined && { id: new ObjectId(options.id) }),
    ...(streamed && { chunkSizeBytes: STREAM_CHUNK_BYTES }),
  });
  try {
    await pipeline(source, hashInto(metadata), upload, options.signal ? { signal: options.signal } : {});
  } catch (error) {
    await upload.abort().catch(() => undefined);
    throw error;
  }
  return upload.id.toHexString();
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}

/** Passes bytes on and sets `metadata.sha256` at their end: the driver writes the file's document after it. */
function hashInto(metadata: Record<string, unknown>): Transform {
  const hash = createHash('sha256');
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      metadata['sha256'] = hash.digest('hex');
      done();
    },
  });
}

/** What is stored under an id; null when nothing is, or when the id cannot be one. */
export async function findBlob(store: Store, id: string): Promise<BlobInfo | null> {
  const objectId = objectIdOf(id);
  const file = objectId && (await filesOf(store).findOne({ _id: objectId }));
  return file && describeBlob(file);
}

const describeBlob = ({ _id, filename, length, uploadDate, metadata = {} }: GridFSFile): BlobInfo => ({
  id: _id.toHexString(),
  filename,
  length,
  storedAt: uploadDate,
  metadata,
});

/**
 * A blob's content in memory, checked against its hash where it has one.
 * @throws TaskError `BadInput` when the blob is missing, damaged or longer than `maxBytes` (default 64 MiB)
 */
export async function readBlob(store: Store, id: string, maxBytes = DEFAULT_MAX_BYTES): Promise<Buffer> {
  const info = await requireBlob(store, id);
  if (info.length > maxBytes) {
    throw new TaskError('BadInput', `Blob ${id}: expected at most ${maxBytes} bytes, got ${info.length}`);
  }
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of downloadOf(store, id)) chunks.push(chunk as Buffer);
  } catch (error) {
    if (!(error instanceof MongoGridFSChunkError || isMissing(error))) throw error;
    throw new TaskError('BadInput', `Blob ${id} is damaged: ${reasonOf(error)}`, { cause: error });
  }
  const bytes = Buffer.concat(chunks);
  const { sha256 } = info.metadata;
  if (typeof sha256 === 'string' && sha256 !== createHash('sha256').update(bytes).digest('hex')) {
    throw new TaskError('BadInput', `Blob ${id} is damaged: its hash differs`);
  }
  return bytes;
}

/** A blob as a stream, in bounded memory. @throws TaskError `BadInput` when the blob is missing */
export async function openBlob(store: Store, id: string): Promise<Readable> {
  await requireBlob(store, id);
  return downloadOf(store, id);
}

/** The driver's error for a blob that was deleted between the look and the read. */
const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

async function requireBlob(store: Store, id: string): Promise<BlobInfo> {
  const info = await findBlob(store, id);
  if (info) return info;
  throw new TaskError('BadInput', `Blob ${JSON.stringify(id)} does not exist`);
}

const downloadOf = (store: Store, id: string): Readable =>
  bucketOf(store).openDownloadStream(objectIdOf(id) as ObjectId);

/** Removes a blob. False when there is none under this id. */
export async function deleteBlob(store: Store, id: string): Promise<boolean> {
  const objectId = objectIdOf(id);
  if (!objectId) return false;
  // Deletes chunks first: half a deletion can be found by its file, never by its chunks.
  await store.db.collection('fs.chunks').deleteMany({ files_id: objectId });
  const { deletedCount } = await filesOf(store).deleteOne({ _id: objectId });
  return deletedCount === 1;
}

/** The blobs that name a task in their metadata, of this prefix or of none. Looks through all there are. */
export async function blobsOfTask(store: Store, taskId: string): Promise<BlobInfo[]> {
  const found = await filesOf(store).find({ 'metadata.taskId': taskId }).toArray();
  return found
    .map(describeBlob)
    .filter(({ metadata }) => (metadata['prefix'] ?? store.prefix) === store.prefix);
}

const filesOf = (store: Store): Collection<GridFSFile> => store.db.collection('fs.files');

/** One bucket per store: a new one would look for its indexes again at every upload. */
const buckets = new WeakMap<Store, GridFSBucket>();

function bucketOf(store: Store): GridFSBucket {
  const known = buckets.get(store);
  if (known) return known;
  const bucket = new GridFSBucket(store.db, { bucketName: 'fs' });
  buckets.set(store, bucket);
  return bucket;
}
