import { existsSync } from 'node:fs';
import { appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDeadline, uptimeSeconds } from '../host/deadline.js';
import { lockFolder } from '../host/folder-lock.js';
import { isAlive } from '../host/process-identity.js';
import { stopProcess } from '../host/stop-process.js';
import { readProcessRecord, type ProcessRecord } from '../session/records/process-record.js';
import { folderNamed, tasksFolder, type TaskFolder } from '../session/records/task-folder.js';

const LOOK_MS = 1_000;
/** It ends after so many looks at which no task had a codex. */
const IDLE_LOOKS = 3;

/**
 * Stops each codex of this data folder whose deadline has passed, or the host's: nobody has renewed the lease, so
 * another may soon use its seed, or run its task. It does so whatever has become of the worker, and ends when
 * there is nothing to guard. A second guard of one folder ends at once.
 */
export async function guardTasks(dataDir: string): Promise<void> {
  const lock = lockFolder(dataDir, 'guard');
  if (!lock) return;
  const stopping = new Set<string>();
  for (let idle = 0; idle < IDLE_LOOKS && existsSync(dataDir);) {
    const living = await look(dataDir, stopping);
    idle = living ? 0 : idle + 1;
    await sleep(LOOK_MS);
  }
  lock.release();
}

async function look(dataDir: string, stopping: Set<string>): Promise<boolean> {
  const names = await readdir(tasksFolder(dataDir)).catch(() => []);
  const hostDeadline = await readDeadline(dataDir);
  const looks = await Promise.all(
    names.map((name) => guardTask(dataDir, name, hostDeadline, stopping).catch(() => false)),
  );
  return looks.includes(true);
}

/** Whether the task has a living codex; when its time is over, that is being stopped. */
async function guardTask(
  dataDir: string,
  name: string,
  hostDeadline: number | null,
  stopping: Set<string>,
): Promise<boolean> {
  if (stopping.has(name)) return true;
  const folder = folderNamed(dataDir, name);
  const record = await readProcessRecord(folder);
  if (!record || !(await isAlive(record))) return false;
  const own = await readDeadline(folder.root);
  const now = uptimeSeconds();
  if (now < (own ?? Infinity) && now < (hostDeadline ?? Infinity)) return true;
  // Not waited for: the time of one stop is all that is left of the lease of each other task as well.
  stopping.add(name);
  void stop(dataDir, folder, record, now < (own ?? Infinity) ? 'host' : 'seed').finally(() =>
    stopping.delete(name),
  );
  return true;
}

/** Never rejects: the next look finds what is still there. */
async function stop(
  dataDir: string,
  { codexHome, socket }: TaskFolder,
  record: ProcessRecord,
  of: 'host' | 'seed',
): Promise<void> {
  const { pid, seedId, taskId } = record;
  // A disk that is full must not keep it from the stop.
  await note(dataDir, { event: 'codex.fenced', taskId, pid, seedId, of }).catch(() => undefined);
  await stopProcess(record, { codexHome, socketPath: socket }).catch(() => undefined);
}

async function note(dataDir: string, fields: Record<string, unknown>): Promise<void> {
  const line = JSON.stringify({ time: new Date().toISOString(), ...fields });
  await appendFile(join(dataDir, 'guard.log'), `${line}\n`, { mode: 0o600 });
}
