import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './cache-folder.js';
import { lockDevFolder } from './dev-lock.js';
import { endLeftoverTasks } from './end-leftover-tasks.js';

/**
 * A fresh data folder below the cache, not below the temp folder, where codex wants no home. What killed runs left is
 * removed on this occasion.
 */
export async function makeEphemeralFolder(env: NodeJS.ProcessEnv): Promise<string> {
  const parent = join(cacheFolder(env), 'ephemeral');
  await mkdir(parent, { recursive: true, mode: 0o700 });
  for (const name of await readdir(parent)) await removeAbandoned(join(parent, name));
  return mkdtemp(join(parent, 'dev-'));
}

export const removeEphemeral = (folder: string): Promise<void> =>
  rm(folder, { recursive: true, force: true, maxRetries: 5 });

/** A task's folder may hold a credential that is saved nowhere else. */
export async function holdsTasks(dataDir: string): Promise<boolean> {
  return (await readdir(join(dataDir, 'tasks')).catch(() => [])).length > 0;
}

/** What another one has made this minute may not be locked yet. */
const YOUNG_MS = 60_000;

async function removeAbandoned(folder: string): Promise<void> {
  try {
    if (Date.now() - (await stat(folder)).mtimeMs < YOUNG_MS) return;
    const release = await lockDevFolder(join(folder, 'dev'));
    try {
      await endLeftoverTasks(folder);
      if ((await hadOwnDatabase(folder)) || !(await holdsTasks(folder))) await removeEphemeral(folder);
    } finally {
      await release();
    }
  } catch {
    // In use, or gone by now.
  }
}

/** Then no credential of its tasks belongs to a database that is still there. */
async function hadOwnDatabase(folder: string): Promise<boolean> {
  const names = await readdir(join(folder, 'dev'));
  return names.includes('ferretdb') || names.includes('mongod');
}
