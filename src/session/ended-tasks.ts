import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TASK_ID_PATTERN } from '../contract.js';
import { openJournal, type Journal } from './journal.js';
import { endedFolder } from './task-folder.js';

const SWEEP_MS = 60_000;

/** Tasks that ended on this host not long ago. */
export interface EndedTasks {
  has(taskId: string): boolean;
  close(): void;
}

/** Keeps what ended for `keepMs` milliseconds and removes it then. */
export function keepEnded(dataDir: string, keepMs: number, onError: (error: unknown) => void): EndedTasks {
  const sweep = () => void removeOld(dataDir, keepMs).catch(onError);
  const timer = setInterval(sweep, Math.min(SWEEP_MS, keepMs)).unref();
  sweep();
  return {
    has: (taskId) => TASK_ID_PATTERN.test(taskId) && existsSync(join(endedFolder(dataDir), taskId)),
    close: () => clearInterval(timer),
  };
}

/** The journal of an ended task, ended itself; null when it is not kept any more. The caller closes it. */
export async function openEnded(dataDir: string, taskId: string): Promise<Journal | null> {
  const folder = join(endedFolder(dataDir), taskId);
  if (!TASK_ID_PATTERN.test(taskId) || !existsSync(folder)) return null;
  const journal = await openJournal(folder);
  await journal.end();
  return journal;
}

async function removeOld(dataDir: string, keepMs: number): Promise<void> {
  const folder = endedFolder(dataDir);
  for (const name of existsSync(folder) ? await readdir(folder) : []) {
    const { mtimeMs } = await stat(join(folder, name));
    if (Date.now() - mtimeMs > keepMs) await rm(join(folder, name), { recursive: true, force: true });
  }
}
