import { mkdir, mkdtemp, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { reasonOf, TaskError, type ErrorCode } from '../errors.js';
import { requireFreeSpace } from '../process/free-space.js';
import type { Config } from '../config.js';
import { requireKnown } from '../formats.js';
import type { Store } from '../store/mongo.js';
import { streamBlob } from '../store/snapshot-blobs.js';
import { findSnapshot, latestSnapshot, listSnapshots, type Snapshot } from '../store/snapshots.js';
import { MAX_BYTES, MAX_ENTRIES } from './archive-task.js';
import { removeFolder } from '../task-folder/remove-folder.js';
import { codeOf } from '../workdir/descriptors.js';
import { CONFIG, SECRETS } from './task-entries.js';
import { REMOVED } from './snapshot-manifest.js';
import type { TaskFolder } from '../task-folder/task-folder.js';
import {
  finishUnpacking,
  insideOf,
  newUnpacking,
  unpackArchive,
  type UnpackLimits,
  type Unpacking,
} from './unpack-archive.js';
import type { TaskSpec } from '../contract/task-spec.js';

/**
 * The snapshot a task resumes from; null when its key has none yet.
 * @throws TaskError `SnapshotUnreadable` for an unknown id
 */
export async function findResume(
  store: Store,
  resume: NonNullable<TaskSpec['resume']>,
): Promise<Snapshot | null> {
  if ('snapshotKey' in resume) return latestSnapshot(store, resume.snapshotKey);
  const snapshot = await findSnapshot(store, resume.snapshotId);
  if (snapshot) return snapshot;
  throw new TaskError('SnapshotUnreadable', `Snapshot ${resume.snapshotId} is unknown`);
}

/**
 * Unpacks a snapshot next to the task's folder and moves it into place when it is whole and its hashes are right. An
 * older one is never taken instead: the caller would continue from a state that it did not ask for.
 * @throws TaskError `SnapshotUnreadable`, naming the older ones of its key; `Unavailable`; `HostUnfit` when this host's
 * disk is at fault, or a newer worker took it. The folder is as before then
 */
export async function restoreSnapshot(store: Store, snapshot: Snapshot, folder: TaskFolder): Promise<void> {
  requireKnown('snapshot', snapshot.layout, `Snapshot ${snapshot.id}`);
  const staging = await mkdtemp(join(folder.root, 'restore-'));
  try {
    await unpackSnapshot(store, snapshot, staging, folder.work);
    await moveInto(join(staging, 'work'), folder.work);
    await moveInto(join(staging, 'home', '.codex', 'sessions'), join(folder.codexHome, 'sessions'));
    await moveInto(join(staging, CONFIG), join(folder.codexHome, 'config.toml'));
    await moveInto(join(staging, SECRETS), folder.keptSecrets);
  } catch (error) {
    throw await failureOf(store, snapshot, error);
  } finally {
    await removeFolder(staging);
  }
}

/**
 * Asks for room for a snapshot and for what tasks need besides it, before any of it is on the disk.
 * @throws TaskError `HostUnfit`: another host may have it
 */
export const requireRoom = (
  { dataDir, minFreeBytes }: Pick<Config, 'dataDir' | 'minFreeBytes'>,
  { contentBytes }: Pick<Snapshot, 'contentBytes'>,
): Promise<void> => requireFreeSpace(dataDir, minFreeBytes + (contentBytes ?? 0));

/** How many times larger than itself an archive may be that does not tell how much it holds. */
const MAX_RATIO = 200;

/**
 * Unpacks a snapshot into `work` and `home/.codex` below a folder of the caller's.
 * @param work where that `work` is going to be: absolute links into the workdir it was taken of lead there then
 */
export async function unpackSnapshot(
  store: Store,
  snapshot: Snapshot,
  into: string,
  work?: string,
): Promise<void> {
  const { blobId, changeBlobIds, layout, contentBytes } = snapshot;
  requireKnown('snapshot', layout, `Snapshot ${snapshot.id}`);
  const limits: UnpackLimits = {
    bytes: contentBytes ?? Number(MAX_BYTES),
    entries: MAX_ENTRIES,
    ratio: contentBytes === null ? MAX_RATIO : null,
  };
  const place: Unpacking['place'] = (name, type) => placeOf(name, type, into, layout);
  const removed: string[] = [];
  const noteRemoved = (text: string) => {
    for (const name of JSON.parse(text) as string[])
      removed.push(place(name, 'file') ?? place(name, 'directory') ?? '');
  };
  const unpacking = newUnpacking(place, limits, new Map(layout === 2 ? [[REMOVED, noteRemoved]] : []));
  await mkdir(join(into, 'work'), { recursive: true, mode: 0o700 });
  for (const id of [...changeBlobIds].reverse()) {
    await unpackArchive(streamBlob(store, id), unpacking);
    for (const path of removed.splice(0)) unpacking.taken.add(path);
  }
  await unpackArchive(streamBlob(store, blobId), unpacking);
  if (work !== undefined)
    for (const each of unpacking.links)
      each.target = rebased(each.target, unpacking, join(into, 'work'), work);
  await finishUnpacking(unpacking);
}

/** A workdir's path names its task, so that what leads into one by its whole path leads nowhere in the next. */
function rebased(target: string, { taken }: Pick<Unpacking, 'taken'>, staged: string, work: string): string {
  const [, inside] = /^\/(?:.*\/)?tasks\/[^/]+\/work(\/.*)?$/s.exec(target) ?? [undefined, null];
  if (inside === null) return target;
  // What only looks like one stays as it is.
  return inside === undefined || taken.has(join(staged, inside)) ? join(work, inside ?? '') : target;
}

/** Where a member goes, or null for what is not taken: of codex's home, nothing that leads elsewhere. */
function placeOf(
  name: string,
  type: Parameters<Unpacking['place']>[1],
  into: string,
  layout: number,
): string | null {
  const plain = insideOf('', name);
  if (plain === '.') return null;
  if (plain === 'home' || plain.startsWith('home/')) {
    const taken =
      type === 'directory'
        ? FOLDER_OF_HOME
        : type === 'file' || type === 'contiguous-file'
          ? FILE_OF_HOME
          : null;
    return taken?.test(plain) ? join(into, plain) : null;
  }
  const placed = layout === 2 ? plain : join('work', plain);
  return placed.startsWith('work/') ? join(into, placed) : null;
}

const FILE_OF_HOME = /^home\/\.codex\/(config\.(toml|secrets)|sessions\/.+)$/s;
const FOLDER_OF_HOME = /^home\/\.codex\/sessions(\/.*)?$/s;

async function moveInto(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  await removeFolder(to);
  await rename(from, to).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
  });
}

/** What the host's own disk refuses says nothing about the snapshot. */
const HOST_FAULTS = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'EROFS', 'EIO']);

async function failureOf(
  store: Store,
  { id, key, capturedAt }: Snapshot,
  error: unknown,
): Promise<TaskError> {
  const say = (code: ErrorCode, more: string) =>
    new TaskError(code, `Snapshot ${id} cannot be restored: ${reasonOf(error)}${more}`, { cause: error });
  if (error instanceof TaskError && error.code === 'Unavailable') return say('Unavailable', '');
  if (HOST_FAULTS.has(codeOf(error))) return say('HostUnfit', '; free or repair the disk of this host');
  const older = (await listSnapshots(store, key).catch(() => []))
    .filter((each) => each.id !== id && each.capturedAt <= capturedAt)
    .slice(0, 3);
  const ids = older.map((each) => each.id).join(', ');
  return say('SnapshotUnreadable', older.length > 0 ? `; resume from an older one of its key: ${ids}` : '');
}
