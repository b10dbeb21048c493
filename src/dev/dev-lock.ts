import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { TaskError } from '../errors.js';

/**
 * Makes the folder (0700) this process's own. An abstract unix socket is the lock: the kernel takes it back
 * whatever way its owner ends.
 * @returns its release
 * @throws TaskError `Unavailable` when another `codex-task dev` has it
 */
export async function lockDevFolder(folder: string): Promise<() => Promise<void>> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const name = createHash('sha256')
    .update(await realpath(folder))
    .digest('hex');
  const lock = createServer((socket) => socket.destroy());
  try {
    lock.listen(`\0codex-task-dev-${name}`);
    await once(lock, 'listening');
  } catch (error) {
    throw new TaskError(
      'Unavailable',
      `Another codex-task dev runs on ${folder}: stop it, set CODEX_TASK_DATA_DIR or use --ephemeral`,
      { cause: error },
    );
  }
  lock.unref();
  return () => new Promise((resolve) => lock.close(() => resolve()));
}
