import { existsSync } from 'node:fs';
import { appendFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDeadline, uptimeSeconds } from '../host/deadline.js';
import { lockFolder } from '../host/folder-lock.js';
import { isAlive } from '../host/process-identity.js';
import { stopProcess } from '../host/stop-process.js';
import { readProcessRecord } from '../session/records/process-record.js';
import { taskFolder, tasksFolder } from '../session/records/task-folder.js';

const LOOK_MS = 1_000;
/** It ends after so many looks at which no task had a codex. */
const IDLE_LOOKS = 3;

/**
 * Stops each codex of this data folder whose deadline has passed, or the host's: nobody has renewed the lease, so
 * another may soon use its seed, or run its task. It does so whatever has become of the worker, and ends when
 * there is nothing to guard. A second guard of one folder ends at once.
 */
export async function guardTasks(dataDir: string): Promise<void> {
  const lock = await lockFolder(dataDir, 'guard');
  if (!lock) return;
  for (let idle = 0; idle < IDLE_LOOKS && existsSync(dataDir);) {
    const living = await look(dataDir);
    idle = living ? 0 : idle + 1;
    await sleep(LOOK_MS);
  }
  lock.close();
}

async function look(dataDir: string): Promise<boolean> {
  const names = await readdir(tasksFolder(dataDir)).catch(() => []);
  const hostDeadline = await readDeadline(dataDir);
  const looks = await Promise.all(
    names.map((name) => guardTask(dataDir, name, hostDeadline).catch(() => false)),
  );
  return looks.includes(true);
}

/** Whether the task has a living codex, which it has no more when its time is over. */
async function guardTask(dataDir: string, name: string, hostDeadline: number | null): Promise<boolean> {
  const folder = taskFolder(dataDir, name);
  const record = await readProcessRecord(folder);
  if (!record || !(await isAlive(record))) return false;
  const own = await readDeadline(folder.root);
  const now = uptimeSeconds();
  if (now < (own ?? Infinity) && now < (hostDeadline ?? Infinity)) return true;
  await note(dataDir, {
    event: 'codex.fenced',
    taskId: folder.taskId,
    pid: record.pid,
    seedId: record.seedId,
    of: now < (own ?? Infinity) ? 'host' : 'seed',
  });
  await stopProcess(record, { codexHome: folder.codexHome, socketPath: folder.socket });
  return false;
}

async function note(dataDir: string, fields: Record<string, unknown>): Promise<void> {
  const line = JSON.stringify({ time: new Date().toISOString(), ...fields });
  await appendFile(join(dataDir, 'guard.log'), `${line}\n`, { mode: 0o600 });
}
