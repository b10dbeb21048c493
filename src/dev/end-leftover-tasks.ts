import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type ProcessIdentity } from '../process/process-identity.js';

/**
 * Ends the app-servers of a data folder that a worker which was killed could not end itself, within 2 s: by the
 * process id and start time in each task's `process.json`. What they changed is saved at the next start.
 */
export async function endLeftoverTasks(dataDir: string): Promise<void> {
  const tasks = await readdir(join(dataDir, 'tasks')).catch(() => []);
  const recorded = await Promise.all(
    tasks.map((task) => readRecord(join(dataDir, 'tasks', task, 'process.json'))),
  );
  await Promise.all(recorded.filter((identity) => identity !== null).map(endTask));
}

const SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGTERM', 'SIGKILL'];
const SIGNAL_MS = 600;
const PROBE_MS = 20;

async function readRecord(file: string): Promise<ProcessIdentity | null> {
  try {
    const { pid, startTime } = JSON.parse(await readFile(file, 'utf8')) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTime === 'number' && pid > 1 ? { pid, startTime } : null;
  } catch {
    return null;
  }
}

async function endTask(identity: ProcessIdentity): Promise<void> {
  for (const signal of SIGNALS) {
    if (!(await isAlive(identity))) return;
    try {
      process.kill(signal === 'SIGKILL' ? -identity.pid : identity.pid, signal);
    } catch {
      return;
    }
    for (let waited = 0; waited < SIGNAL_MS && (await isAlive(identity)); waited += PROBE_MS)
      await sleep(PROBE_MS);
  }
}
