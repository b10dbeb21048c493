import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Journal } from '../../journal/journal.js';
import { endedFolder, endedJournal } from '../../task-folder/task-folder.js';
import { openJournal } from '../../journal/open-journal.js';
import type { EndedTasks, OpenedEnded } from '../model/ended-journals.js';

const SWEEP_MS = 60_000;

interface Shared {
  /** Tells a later task of the same id apart. */
  readonly inode: number;
  readonly journal: Promise<Journal>;
  readers: number;
}

/** Keeps ended journals for `keepMs` milliseconds, then removes them. */
export function keepEnded(dataDir: string, keepMs: number, onError: (error: unknown) => void): EndedTasks {
  const shared = new Map<string, Shared>();
  const sweep = () => void removeOld(dataDir, keepMs).catch(onError);
  const timer = setInterval(sweep, Math.min(SWEEP_MS, keepMs)).unref();
  sweep();
  return {
    has: (taskId) => existsSync(endedJournal(dataDir, taskId)),
    async open(taskId) {
      const folder = endedJournal(dataDir, taskId);
      const inode = await inodeOf(folder);
      if (inode === null) return null;
      let entry = shared.get(taskId);
      if (entry?.inode !== inode)
        shared.set(taskId, (entry = { inode, journal: openOver(folder), readers: 0 }));
      return lend(shared, taskId, entry, onError);
    },
    close: () => clearInterval(timer),
  };
}

async function lend(
  shared: Map<string, Shared>,
  taskId: string,
  entry: Shared,
  onError: (error: unknown) => void,
): Promise<OpenedEnded> {
  const release = () => {
    if (--entry.readers > 0) return;
    if (shared.get(taskId) === entry) shared.delete(taskId);
    entry.journal.then((journal) => journal.close()).catch(onError);
  };
  entry.readers++;
  try {
    return { journal: await entry.journal, release };
  } catch (error) {
    if (shared.get(taskId) === entry) shared.delete(taskId);
    throw error;
  }
}

async function openOver(folder: string): Promise<Journal> {
  const journal = await openJournal(folder);
  await journal.end();
  return journal;
}

async function inodeOf(folder: string): Promise<number | null> {
  try {
    return (await stat(folder)).ino;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function ignoreAbsence(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null;
  throw error;
}

async function removeOld(dataDir: string, keepMs: number): Promise<void> {
  const folder = endedFolder(dataDir);
  for (const name of existsSync(folder) ? await readdir(folder) : []) {
    // A new task with that id may have taken its place.
    const found = await stat(join(folder, name)).catch(ignoreAbsence);
    if (found && Date.now() - found.mtimeMs > keepMs)
      await rm(join(folder, name), { recursive: true, force: true });
  }
}
