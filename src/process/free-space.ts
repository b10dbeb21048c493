import { statfs } from 'node:fs/promises';
import { TaskError } from '../errors.js';

/**
 * Checks that a folder's disk has room for a task.
 * @throws TaskError `HostUnfit` when fewer than `minBytes` are free to this user
 */
export async function requireFreeSpace(folder: string, minBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= minBytes) return;
  throw new TaskError(
    'HostUnfit',
    `${folder} has ${free} bytes free, a task needs ${minBytes}: free its disk or lower CODEX_TASK_MIN_FREE_BYTES`,
  );
}
