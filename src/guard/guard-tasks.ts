import { appendFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../async/pause.js';
import { gracesAt, instantNow, isPast, readFence, type Fence } from '../process/deadline.js';
import { lockFolder, type FolderLock } from '../process/folder-lock.js';
import { isAlive } from '../process/process-identity.js';
import { stopProcess } from '../process/stop-process.js';
import { noteFenced } from '../task-folder/fenced-process.js';
import { findProcess, type NamedProcess } from '../task-folder/process-record.js';
import { folderNamed, tasksFolder, type TaskFolder } from '../task-folder/task-folder.js';

const LOOK_MS = 1_000;
const SHORTEST_LOOK_MS = 20;
/** How long one that has no worker any more waits for another guard to leave. Looks. */
const STANDBY_LOOKS = 3;

/**
 * Stops each codex of this data folder whose deadline has passed, or the host's: nobody has renewed the lease, so
 * another may soon use its seed, or run its task. It does so whatever has become of the worker, by the clock since
 * boot and by that of the wall. It stays as long as its worker does, and then until no codex lives here, which it looks
 * for once more when it no longer holds the lock. While another guard has that, it stands by.
 * @param workerGone aborts when the worker that relies on it has ended, or needs it no more
 */
export async function guardTasks(dataDir: string, workerGone: AbortSignal): Promise<void> {
  const stopping = new Set<string>();
  let standbys = 0;
  while (await isThere(dataDir)) {
    const lock = takeLock(dataDir);
    if (lock === null) {
      if (workerGone.aborted && ++standbys > STANDBY_LOOKS) return;
      await rest(LOOK_MS, workerGone);
      continue;
    }
    await guardUntilIdle(dataDir, stopping, workerGone);
    lock.release();
    // Whoever found the lock taken meanwhile relied on this guard.
    if (!(await look(dataDir, stopping)).isNeeded) return;
  }
}

/** Ends at a look that began without the worker and found no codex. */
async function guardUntilIdle(
  dataDir: string,
  stopping: Set<string>,
  workerGone: AbortSignal,
): Promise<void> {
  while (await isThere(dataDir)) {
    const isAlone = workerGone.aborted;
    const { isNeeded, untilNextMs } = await look(dataDir, stopping);
    if (isAlone && !isNeeded) return;
    await rest(Math.max(Math.min(untilNextMs, LOOK_MS), SHORTEST_LOOK_MS), workerGone);
  }
}

/** Null: another guard has it. Where nobody can say so, one guard too many does no harm. */
function takeLock(dataDir: string): FolderLock | null {
  try {
    return lockFolder(dataDir, 'guard');
  } catch {
    return { release: () => undefined };
  }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    (error: unknown) => !isAbsence(error),
  );

const isAbsence = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Ends early, and once, when the worker goes. */
const rest = (ms: number, workerGone: AbortSignal): Promise<void> =>
  pause(ms, workerGone.aborted ? undefined : workerGone);

/** `untilNextMs`: until the first of the deadlines, so that none of the time for a stop is lost. */
async function look(
  dataDir: string,
  stopping: Set<string>,
): Promise<{ isNeeded: boolean; untilNextMs: number }> {
  // What cannot be looked at now may have a codex: the guard stays for the next look.
  const unknown = (error: unknown) => (isAbsence(error) ? [] : null);
  const names = await readdir(tasksFolder(dataDir)).catch(unknown);
  if (names === null) return { isNeeded: true, untilNextMs: LOOK_MS };
  const ofHost = await readFence(dataDir);
  const looks = await Promise.all(
    names.map((name) =>
      guardTask(dataDir, folderNamed(dataDir, name), ofHost, stopping).catch(() => LOOK_MS),
    ),
  );
  const times = looks.filter((each) => each !== null);
  return { isNeeded: times.length > 0, untilNextMs: Math.min(LOOK_MS, ...times) };
}

/** Milliseconds until a task's living codex has to be stopped; once its time is over it is. Null: none lives. */
async function guardTask(
  dataDir: string,
  folder: TaskFolder,
  ofHost: Fence | null,
  stopping: Set<string>,
): Promise<number | null> {
  if (stopping.has(folder.root)) return LOOK_MS;
  const record = await findProcess(folder);
  if (!record || !(await isAlive(record))) return null;
  const own = await readFence(folder.root);
  const now = instantNow();
  const fences = [own, ofHost].filter((each) => each !== null);
  const past = fences.filter((each) => isPast(each, now));
  if (past.length === 0) return Math.min(LOOK_MS, ...fences.map(({ boot }) => (boot - now.boot) * 1_000));
  // Not waited for: the time of one stop is all that is left of the lease of each other task as well.
  stopping.add(folder.root);
  const margin = Math.min(...past.map((each) => each.margin));
  const of = own && past.includes(own) ? 'seed' : 'host';
  void stop(dataDir, folder, record, { ...past[0]!, margin }, of).finally(() => stopping.delete(folder.root));
  return LOOK_MS;
}

/** Never rejects: the next look finds what is still there. */
async function stop(
  dataDir: string,
  folder: TaskFolder,
  record: NamedProcess,
  fence: Fence,
  of: 'host' | 'seed',
): Promise<void> {
  const { pid, seedId, taskId } = record;
  const { codexHome, socket } = folder;
  // A disk that is full must not keep it from the stop.
  await noteFenced(folder, record).catch(() => undefined);
  await note(dataDir, { event: 'codex.fenced', taskId, pid, seedId, of }).catch(() => undefined);
  await stopProcess(record, { codexHome, socketPath: socket, ...gracesAt(fence) }).catch(() => undefined);
}

async function note(dataDir: string, fields: Record<string, unknown>): Promise<void> {
  const line = JSON.stringify({ time: new Date().toISOString(), ...fields });
  await appendFile(join(dataDir, 'guard.log'), `${line}\n`, { mode: 0o600 });
}
