import { readFile, rm } from 'node:fs/promises';
import { KeyedQueue } from '../async/keyed-queue.js';
import { requireKnown, versioned } from '../formats.js';
import { isAlive, type ProcessIdentity } from '../process/process-identity.js';
import { stopProcess } from '../process/stop-process.js';
import type { Log } from '../log.js';
import type { TaskFolder } from './task-folder.js';
import { replaceFile } from './own-file.js';

/** `process.json`: which process serves a task, and what a reaper needs to save its credential. */
export interface ProcessRecord extends ProcessIdentity {
  socket: string;
  codexVersion: string;
  taskId: string;
  /** ISO 8601. */
  launchedAt: string;
  runId: string;
  assignmentId?: string;
  hostId: string;
  seedId?: string;
  holder?: string;
  leaseEpoch?: number;
  savedSha256?: string;
}

/** What every version of the record has. */
export type NamedProcess = Pick<ProcessRecord, 'pid' | 'startTime' | 'taskId' | 'seedId'> & {
  version?: unknown;
};

/** Changes of each record here, one after another: a save must not bring back the record of a codex that is gone. */
const changes = new KeyedQueue();

export function writeProcessRecord(folder: TaskFolder, record: ProcessRecord): Promise<void> {
  return changes.run(folder.root, () => replaceRecord(folder, record));
}

/** Notes which auth.json the database has, so that whoever reaps the process knows; nothing without a process. */
export function noteSaved(folder: TaskFolder, savedSha256: string): Promise<void> {
  return changes.run(folder.root, async () => {
    const record = await readProcessRecord(folder);
    if (record) await replaceRecord(folder, { ...record, savedSha256 });
  });
}

async function replaceRecord(folder: TaskFolder, record: ProcessRecord): Promise<void> {
  const text = JSON.stringify(versioned('process', record));
  await replaceFile(folder.processJson, `${text}\n`);
}

/** The record of a task's process; null when there is none, a crash cut it or it cannot be read. @throws NewerFormat */
export async function readProcessRecord(folder: TaskFolder): Promise<ProcessRecord | null> {
  const record = await findProcess(folder).catch(() => null);
  const { version, ...known } = record ?? {};
  requireKnown('process', version, folder.processJson);
  return record && (known as ProcessRecord);
}

/**
 * Which process a task's record names, in whatever version: its pid and start time, and whose it is, stand in each, for
 * whoever has to stop it.
 * @throws what the system says of a record that is there and cannot be read now
 */
export async function findProcess(folder: TaskFolder): Promise<NamedProcess | null> {
  const text = await readFile(folder.processJson, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return '';
    throw error;
  });
  try {
    return JSON.parse(text) as ProcessRecord;
  } catch {
    return null;
  }
}

/** Ends the process that a folder names, if it still is that one, and removes the record. @throws NewerFormat, nothing ended */
export async function reapProcess(folder: TaskFolder, log: Log): Promise<void> {
  const record = await readProcessRecord(folder);
  if (record && (await isAlive(record))) {
    log.warn({ taskId: folder.taskId, pid: record.pid }, 'codex.reap');
    await stopProcess(record, { codexHome: folder.codexHome, socketPath: folder.socket });
  }
  await changes.run(folder.root, () => rm(folder.processJson, { force: true }));
}
