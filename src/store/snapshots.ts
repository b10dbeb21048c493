import { ObjectId, type Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { FORMATS, isNewer, requireKnown } from '../formats.js';
import { objectIdOf, snapshotsOf, type SnapshotDocument, type SnapshotEnd } from './collections.js';
import { databaseNow, type Store } from './mongo.js';
import { staleSnapshots } from './retention.js';
import { blobIdsOf, dropSnapshotBlobs, noteLoose } from './snapshot-blobs.js';

/** A saved session; ids in hex. */
export interface Snapshot {
  id: string;
  key: string;
  capturedAt: Date;
  endState: SnapshotEnd;
  blobId: string;
  /** What changed since that archive, oldest first. */
  changeBlobIds: string[];
  /** Content before compression in bytes and number of members, where the snapshot tells. */
  contentBytes: number | null;
  entries: number | null;
  skipped: SkippedEntries | null;
  /** Codex's thread id. */
  sessionId: string | null;
  /** 2: ours; 1: the blob is the Python package's; more: a newer worker's. */
  layout: number;
  details: Record<string, unknown>;
}

/** What a snapshot could not store, the first ones by name. */
export type SkippedEntries = NonNullable<SnapshotDocument['skipped']>;

/** Describes a snapshot whose blobs are stored. */
export interface NewSnapshot {
  key: string;
  blobId: string;
  changeBlobIds?: readonly string[];
  sessionId: string | null;
  endState: SnapshotEnd;
  taskId?: string;
  runId?: string;
  request?: string;
  contentBytes?: number;
  entries?: number;
  skipped?: SkippedEntries;
  details?: Record<string, unknown>;
  /** By the database's clock; now when it is missing. */
  capturedAt?: Date;
}

/** The first layout of ours, and the one that is written. */
const OURS = 2;
const LAYOUT = FORMATS.snapshot.version;

/**
 * Records a snapshot whose blobs are stored already, and returns its id. `details` is kept as it is.
 * @throws TaskError `BadInput` when a blob's id cannot be one
 */
export async function insertSnapshot(store: Store, snapshot: NewSnapshot): Promise<string> {
  const { key, blobId, changeBlobIds = [], sessionId, endState, capturedAt, ...more } = snapshot;
  const _id = new ObjectId();
  await snapshotsOf(store).insertOne({
    _id,
    processId: key,
    capturedAt: capturedAt ?? (await databaseNow(store)),
    endState,
    workdirBlobId: blobIdOf(blobId),
    ...(changeBlobIds.length > 0 && { changeBlobIds: changeBlobIds.map(blobIdOf) }),
    sessionId,
    layout: LAYOUT,
    ...more,
  });
  return _id.toHexString();
}

function blobIdOf(blobId: string): ObjectId {
  const id = objectIdOf(blobId);
  if (id) return id;
  throw new TaskError('BadInput', `blobId: expected 24 hex digits, got ${JSON.stringify(blobId)}`);
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

/** A snapshot from the end of a task that builds on this blob; null when there is none. */
export const endSnapshotWith = (store: Store, key: string, blobId: string): Promise<Snapshot | null> =>
  findOne(store, { processId: key, endState: { $ne: 'running' }, workdirBlobId: blobIdOf(blobId) });

/** The newest snapshot from the end of a task with this key, if it was taken after `since`, by the database's clock. */
export const endSnapshotSince = (store: Store, key: string, since: Date): Promise<Snapshot | null> =>
  findOne(store, { processId: key, endState: { $ne: 'running' }, capturedAt: { $gt: since } });

/** The snapshots that a task took, newest first. Those of earlier versions count by their key, which is the task's id. */
export async function snapshotsOfTask(store: Store, taskId: string): Promise<Snapshot[]> {
  const unnamed = { taskId: { $exists: false }, processId: taskId, layout: OURS };
  const filter = { $or: [{ taskId }, unnamed] };
  const found = await snapshotsOf(store).find(filter, { sort: NEWEST_FIRST }).toArray();
  return found.map(describeSnapshot);
}

/** The snapshots of a key, or all there are, newest first. */
export async function listSnapshots(store: Store, key?: string): Promise<Snapshot[]> {
  const filter = key === undefined ? {} : { processId: key };
  const found = await snapshotsOf(store).find(filter, { sort: NEWEST_FIRST }).toArray();
  return found.map(describeSnapshot);
}

/**
 * Removes those snapshots of a key that `keep` leaves no room for, documents before blobs, and returns the ids of
 * the removed ones. Checkpoints go first; those of newer workers stay. A blob that another snapshot names as well stays. `keep` 0 removes all.
 */
export const pruneSnapshots = (store: Store, key: string, keep: number): Promise<string[]> =>
  removeSnapshots(store, { processId: key }, (all) => staleSnapshots(all, keep));

/**
 * Removes one snapshot, its blobs too where no other names them. False when there is none.
 * @throws NewerFormat
 */
export async function deleteSnapshot(store: Store, id: string): Promise<boolean> {
  const _id = objectIdOf(id);
  const snapshot = _id && (await findOne(store, { _id }));
  if (!snapshot) return false;
  requireKnown('snapshot', snapshot.layout, `Snapshot ${id}`);
  return (await removeSnapshots(store, { _id })).length > 0;
}

const NEEDED = { workdirBlobId: 1, changeBlobIds: 1, endState: 1, runId: 1, layout: 1 } as const;
type Removable = Pick<SnapshotDocument, '_id' | keyof typeof NEEDED>;

async function removeSnapshots(
  store: Store,
  filter: Filter<SnapshotDocument>,
  staleOf = (all: Removable[]) => all,
): Promise<string[]> {
  const snapshots = snapshotsOf(store);
  const found = await snapshots.find(filter, { sort: NEWEST_FIRST }).project<Removable>(NEEDED).toArray();
  const stale = staleOf(found).filter(({ layout }) => !isNewer('snapshot', layout));
  if (stale.length === 0) return [];
  const blobIds = [...new Set(stale.flatMap(blobIdsOf))];
  await noteLoose(store, blobIds);
  await snapshots.deleteMany({ _id: { $in: stale.map(({ _id }) => _id) } });
  await dropSnapshotBlobs(store, blobIds);
  return stale.map(({ _id }) => _id.toHexString());
}

const NEWEST_FIRST = { capturedAt: -1, _id: -1 } as const;

const describeSnapshot = (found: SnapshotDocument): Snapshot => ({
  id: found._id.toHexString(),
  key: found.processId,
  capturedAt: found.capturedAt,
  endState: found.endState,
  blobId: found.workdirBlobId.toHexString(),
  changeBlobIds: (found.changeBlobIds ?? []).map((id) => id.toHexString()),
  contentBytes: found.contentBytes ?? null,
  entries: found.entries ?? null,
  skipped: found.skipped ?? null,
  sessionId: found.sessionId,
  layout: found.layout ?? 1,
  details: found.details ?? {},
});
