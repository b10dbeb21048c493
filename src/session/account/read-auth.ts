import { readFile } from 'node:fs/promises';
import type { TaskFolder } from '../../task-folder/task-folder.js';

/** The auth.json of a task as it is on disk now; null when there is none. */
export async function readAuth(folder: TaskFolder): Promise<Buffer | null> {
  try {
    return await readFile(folder.authJson);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
