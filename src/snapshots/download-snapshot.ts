import { mkdir, mkdtemp, rename, rmdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { reasonOf, TaskError } from '../errors.js';
import type { Store } from '../store/mongo.js';
import type { Snapshot } from '../store/snapshots.js';
import { removeFolder } from '../task-folder/remove-folder.js';
import { unpackSnapshot } from './restore-snapshot.js';
import { codeOf } from '../workdir/descriptors.js';

/**
 * Unpacks a snapshot into a new folder, whole or not at all, and returns its absolute path.
 * @throws TaskError `BadInput` when the folder is there already and holds something; `SnapshotUnreadable`
 */
export async function downloadSnapshot(store: Store, snapshot: Snapshot, folder: string): Promise<string> {
  const path = resolve(folder);
  await mkdir(dirname(path), { recursive: true });
  await rmdir(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return;
    throw new TaskError('BadInput', `${path}: expected a folder that does not exist yet or is empty`);
  });
  const staging = await mkdtemp(`${path}-`);
  try {
    await unpackSnapshot(store, snapshot, staging);
    await rename(staging, path);
  } catch (error) {
    await removeFolder(staging);
    if (error instanceof TaskError) throw error;
    const message = `Snapshot ${snapshot.id} cannot be unpacked: ${reasonOf(error)}`;
    throw new TaskError('SnapshotUnreadable', message, { cause: error });
  }
  return path;
}
