import type { GridFSFile, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { isLater, isValidAuth, loginIn } from './auth-shape.js';
import { fenceBlobs } from './blob-fence.js';
import { deleteBlob } from './blobs.js';
import { quarantineOf, seedsOf, snapshotsOf, type SeedDocument } from './collections.js';
import { readBase, readCurrentSeed, type SeedBase } from './current-seed.js';
import { seedOfLogin } from './logins.js';
import { databaseNow, type Store } from './mongo.js';
import { isQuarantined, quarantineAuth } from './quarantine.js';
import { ownMetadata, readSecret, type SecretPlace } from './secret-blobs.js';
import { unpackSeed } from './seed-archive.js';

/** How long a blob may exist without a document that names it: the document follows within seconds. */
export const ORPHAN_GRACE_MS = 24 * 3_600_000;

export interface Collected {
  /** Count of deleted blobs. */
  deleted: number;
  /** Records of credentials whose writer died before it could name them. */
  rescued: string[];
}

/**
 * Deletes blobs of ours that nothing refers to and that are older than `graceMs`, by the database's clock. A
 * credential among them that its seed lacks, or that a task saved when its seed was gone, goes to quarantine first. Blobs of other writers are left alone.
 * An abort ends it between two blobs.
 */
export async function collectOrphans(
  store: Store,
  { graceMs = ORPHAN_GRACE_MS, signal }: { graceMs?: number; signal?: AbortSignal } = {},
): Promise<Collected> {
  const before = new Date((await databaseNow(store)).getTime() - graceMs);
  const { prefix, writer } = ownMetadata(store, '');
  const old = store.db
    .collection<GridFSFile>('fs.files')
    .find({ 'metadata.writer': writer, 'metadata.prefix': prefix, uploadDate: { $lt: before } })
    .sort({ uploadDate: 1 });
  const collected: Collected = { deleted: 0, rescued: [] };
  for await (const batch of inBatches(old)) {
    for (const file of await orphansAmong(store, batch, before)) {
      if (signal?.aborted) return collected;
      const isDropped = file.metadata?.['droppedAt'] instanceof Date;
      const verdict = isDropped ? 'worthless' : await rescue(store, file);
      if (verdict === 'keep') continue;
      if (verdict !== 'worthless') collected.rescued.push(verdict.quarantineId);
      if (await deleteBlob(store, file._id.toHexString())) collected.deleted += 1;
    }
    if (signal?.aborted) break;
  }
  return collected;
}

/** How many blobs one query looks up. */
const BATCH = 500;

async function* inBatches(files: AsyncIterable<GridFSFile>): AsyncGenerator<GridFSFile[]> {
  let batch: GridFSFile[] = [];
  for await (const file of files) {
    batch.push(file);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/**
 * The unnamed ones of these blobs, which no writer can name any more, without those whose seed was deleted after
 * `before`.
 */
async function orphansAmong(store: Store, files: GridFSFile[], before: Date): Promise<GridFSFile[]> {
  const isDue = ({ metadata }: GridFSFile) => {
    const droppedAt: unknown = metadata?.['droppedAt'];
    return !(droppedAt instanceof Date && droppedAt >= before);
  };
  const unnamed = await withoutNames(store, files.filter(isDue));
  if (unnamed.length === 0) return [];
  await fenceBlobs(store, unnamed);
  const left = await withoutNames(store, unnamed);
  // Read after the names, since a writer that removes a name records that first.
  const now = store.db.collection<GridFSFile>('fs.files').find({ _id: { $in: left.map(({ _id }) => _id) } });
  return (await now.toArray()).filter(isDue);
}

async function withoutNames(store: Store, files: GridFSFile[]): Promise<GridFSFile[]> {
  if (files.length === 0) return [];
  const ids = files.map(({ _id }) => _id);
  const named = await namedAmong(store, ids);
  return files.filter(({ _id }) => !named.has(_id.toHexString()));
}

/** Those of these blobs that a seed, a record or a snapshot names. */
async function namedAmong(store: Store, $in: ObjectId[]): Promise<ReadonlySet<string>> {
  const named = new Set<string>();
  const seeds = { $or: [{ blobId: { $in } }, { previousBlobs: { $in } }] };
  for await (const { blobId, previousBlobs = [] } of seedsOf(store).find(seeds))
    for (const id of [blobId, ...previousBlobs]) named.add(id.toHexString());
  for await (const { blobId } of quarantineOf(store).find({ blobId: { $in } }))
    named.add(blobId.toHexString());
  const snapshots = { $or: [{ workdirBlobId: { $in } }, { changeBlobIds: { $in } }] };
  for await (const { workdirBlobId, changeBlobIds = [] } of snapshotsOf(store).find(snapshots))
    for (const id of [workdirBlobId, ...changeBlobIds]) named.add(id.toHexString());
  return named;
}

/** Quarantines an orphan's credential unless something as new exists. `keep`: it cannot be judged here. */
async function rescue(
  store: Store,
  file: GridFSFile,
): Promise<'worthless' | 'keep' | { quarantineId: string }> {
  const { name, seedId, processId }: Record<string, unknown> = file.metadata ?? {};
  if ((name !== 'seed' && name !== 'quarantine') || typeof seedId !== 'string') return 'worthless';
  const current = await readCurrentSeed(store, seedId);
  const isOfTask = typeof processId === 'string';
  // Without any seed, whoever stored it has the credential. Of a deleted seed only a save can be left.
  if (!current && !isOfTask) return 'worthless';
  const authJson = await readOrphan(store, { kind: name, seedId }, file._id);
  if (authJson === 'locked' || current?.base.kind === 'locked') return 'keep';
  if (authJson === null || !isValidAuth(authJson)) return 'worthless';
  if (current ? await isOvertaken(store, current, authJson) : await isInAnySeed(store, authJson))
    return 'worthless';
  if (await isQuarantined(store, seedId, authJson)) return 'worthless';
  const lease = { seedId, holder: 'collector', leaseEpoch: current?.seed.leaseEpoch ?? 0 };
  const reason = current
    ? 'its writer ended before the seed named it'
    : 'its writer ended, and the seed is gone';
  const taskId = isOfTask ? processId : '';
  return { quarantineId: await quarantineAuth(store, lease, authJson, { taskId, reason }) };
}

/** Whether a seed holds the orphan's credential or a newer one. */
async function isOvertaken(
  store: Store,
  { seed, base }: { seed: SeedDocument; base: SeedBase },
  authJson: Buffer,
): Promise<boolean> {
  const stored = base.kind === 'read' ? base.members.authJson : null;
  // Clocks of hosts do not tell which of two is newer, so it is kept in doubt.
  if (stored && (stored.equals(authJson) || isLater(stored, authJson))) return true;
  for (const id of seed.previousBlobs ?? []) {
    const kept = await readBase(store, seed, id);
    if (kept.kind === 'read' && kept.members.authJson?.equals(authJson)) return true;
  }
  return false;
}

/** Whether a seed has this login, or had it. */
async function isInAnySeed(store: Store, authJson: Buffer): Promise<boolean> {
  const login = loginIn(authJson);
  return login !== null && (await seedOfLogin(store, login)) !== null;
}

/** The auth.json in an orphan; null: none can be read. */
async function readOrphan(
  store: Store,
  place: SecretPlace,
  blobId: ObjectId,
): Promise<Buffer | 'locked' | null> {
  try {
    const { bytes } = await readSecret(store, place, blobId);
    return place.kind === 'seed' ? (await unpackSeed(bytes)).authJson : bytes;
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    if (error.code === 'HostUnfit') return 'locked';
    if (error.code === 'BadInput') return null;
    throw error;
  }
}
