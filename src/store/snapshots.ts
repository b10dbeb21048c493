import { ObjectId, type Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, snapshotsOf, type SnapshotDocument, type SnapshotEnd } from './collections.js';
import { databaseNow, type Store } from './mongo.js';

/** A saved session; ids in hex. */
export interface Snapshot {
  id: string;
  key: string;
  capturedAt: Date;
  endState: SnapshotEnd;
  blobId: string;
  /** Codex's thread id. */
  sessionId: string | null;
  /** 2: ours; 1: the blob is the Python package's. */
  layout: 1 | 2;
  details: Record<string, unknown>;
}

const LAYOUT = 2;

/**
 * Records a snapshot whose blob is stored already, and returns its id. `details` is kept as it is.
 * @throws TaskError `BadInput` when `blobId` cannot be a blob's id
 */
export async function insertSnapshot(
  store: Store,
  snapshot: {
    key: string;
    blobId: string;
    sessionId: string | null;
    endState: SnapshotEnd;
    request?: string;
    details?: Record<string, unknown>;
  },
): Promise<string> {
  const { key, blobId, sessionId, endState, request, details } = snapshot;
  const workdirBlobId = objectIdOf(blobId);
  if (!workdirBlobId) {
    throw new TaskError('BadInput', `blobId: expected 24 hex digits, got ${JSON.stringify(blobId)}`);
  }
  const _id = new ObjectId();
  await snapshotsOf(store).insertOne({
    _id,
    processId: key,
    capturedAt: await databaseNow(store),
    endState,
    workdirBlobId,
    sessionId,
    layout: LAYOUT,
    ...(request !== undefined && { request }),
    ...(details && { details }),
  });
  return _id.toHexString();
}

/** The newest snapshot of a key; null when it has none. */
export const latestSnapshot = (store: Store, key: string): Promise<Snapshot | null> =>
  findOne(store, { processId: key });

/** The snapshot of an id; null when there is none. */
export async function findSnapshot(store: Store, id: string): Promise<Snapshot | null> {
  const _id = objectIdOf(id);
  return _id && findOne(store, { _id });
}

async function findOne(store: Store, filter: Filter<SnapshotDocument>): Promise<Snapshot | null> {
  const found = await snapshotsOf(store).findOne(filter, { sort: NEWEST_FIRST });
  return found && describeSnapshot(found);
}

/** The snapshot of a key that this call took when it was made before; null when it was not. */
export const snapshotOfRequest = (store: Store, key: string, request: string): Promise<Snapshot | null> =>
  findOne(store, { processId: key, request });

/** The snapshots of a key, newest first. */
export async function listSnapshots(store: Store, key: string): Promise<Snapshot[]> {
  const found = await snapshotsOf(store).find({ processId: key }, { sort: NEWEST_FIRST }).toArray();
  return found.map(describeSnapshot);
}

/**
 * Removes all but the newest `keep` snapshots of a key, documents before blobs, and returns the ids of the
 * removed ones. A blob that another snapshot names as well stays. `keep` 0 removes all.
 */
export async function pruneSnapshots(store: Store, key: string, keep: number): Promise<string[]> {
  const snapshots = snapshotsOf(store);
  const fields = { workdirBlobId: 1 } as const;
  const stale = await snapshots
    .find({ processId: key }, { sort: NEWEST_FIRST, skip: keep, projection: fields })
    .toArray();
  if (stale.length === 0) return [];
  await snapshots.deleteMany({ _id: { $in: stale.map(({ _id }) => _id) } });
  for (const blobId of new Set(stale.map(({ workdirBlobId }) => workdirBlobId.toHexString()))) {
    const sharing = await snapshots.findOne({ workdirBlobId: new ObjectId(blobId) });
    if (!sharing) await deleteBlob(store, blobId);
  }
  return stale.map(({ _id }) => _id.toHexString());
}

const NEWEST_FIRST = { capturedAt: -1, _id: -1 } as const;

const describeSnapshot = (found: SnapshotDocument): Snapshot => ({
  id: found._id.toHexString(),
  key: found.processId,
  capturedAt: found.capturedAt,
  endState: found.endState,
  blobId: found.workdirBlobId.toHexString(),
  sessionId: found.sessionId,
  layout: found.layout === LAYOUT ? LAYOUT : 1,
  details: found.details ?? {},
});
