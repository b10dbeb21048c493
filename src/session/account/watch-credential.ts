import { pause } from '../../async/pause.js';
import { firstToSettle } from '../../async/first-to-settle.js';
import type { LeaseRef } from '../../contract/activities.js';
import { reasonOf } from '../../errors.js';
import { gracesAt, instantNow, isPast, readFence, type Fence, type Instant } from '../../process/deadline.js';
import { isAlive } from '../../process/process-identity.js';
import { stopProcess } from '../../process/stop-process.js';
import { changeAlarm } from '../../process/watch-file.js';
import { isFenced, leaseLost } from './hold-seed.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { readProcessRecord } from '../../task-folder/process-record.js';
import { taskFolder, type TaskFolder } from '../../task-folder/task-folder.js';
import { renewTaskLease } from './renew-task-lease.js';
import { saveCredential } from './save-credential.js';
import { checkHome } from './unwritable-home.js';

const POLL_MS = 10_000;
const RETRY_MS = 1_000;
/** Pause between checks that Codex can still write its file; each turn begins with a check too. */
const CHECK_MS = 60_000;
/** Pause between looks for a task that is not prepared yet. */
const LOOK_MS = 100;
/** Pause between looks whether an expired lease was acquired again. */
const FENCED_LOOK_MS = 500;
/** The longest time between two looks at the deadline. */
const FENCE_LOOK_MS = 5_000;
/** Part of the time for a stop that is left to the guard, which ends Codex less gently. */
const GUARDS_PART = 0.7;

/** The task whose account is watched, in its present state. */
export interface Watched {
  /** Null: nothing is prepared yet. */
  find(): PreparedTask | null;
  /** Whether a Codex may use the seed: an expired lease is acquired again only once Codex has ended. */
  usesSeed(): boolean;
}

/**
 * Keeps the lease and saves each rotation of the credential, independently, until aborted. Retries a silent database
 * without a limit: meanwhile the deadline stops Codex, and nothing is renewed until the lease was acquired again.
 * @throws TaskError `LeaseLost` when the seed went to another holder
 */
export async function watchCredential(
  host: AccountPorts,
  taskId: string,
  lease: LeaseRef,
  watched: Watched,
  signal: AbortSignal,
): Promise<void> {
  await firstToSettle(
    [
      (over) => keepLease(host, taskId, lease, watched, over),
      (over) => keepSaved(host, taskId, lease, watched, over),
      (over) => keepFence(host, taskId, watched, over),
    ],
    signal,
  );
}

async function keepLease(
  host: AccountPorts,
  taskId: string,
  lease: LeaseRef,
  watched: Watched,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    if (watched.usesSeed() && (await isOverdue(host, taskId))) {
      await pause(FENCED_LOOK_MS, signal);
      continue;
    }
    const answer = await renewTaskLease(host, taskId, lease);
    if (signal.aborted) return;
    if (answer === 'taken') throw leaseLost(lease, 'it was leased to another');
    await pause(answer === 'ours' ? host.leaseTtlMs / 3 : RETRY_MS, signal);
  }
}

const isOverdue = ({ config }: Pick<AccountPorts, 'config'>, taskId: string): Promise<boolean> =>
  isFenced({ folder: taskFolder(config.dataDir, taskId) });

/** Stops a Codex that the guard should have stopped, since the guard may be dead. Waits for no answer. */
async function keepFence(
  host: Pick<AccountPorts, 'config' | 'log'>,
  taskId: string,
  watched: Watched,
  signal: AbortSignal,
): Promise<void> {
  const folder = taskFolder(host.config.dataDir, taskId);
  while (!signal.aborted) {
    const fence = watched.usesSeed() ? await readFence(folder.root) : null;
    const own = fence && later(fence, fence.margin * GUARDS_PART);
    if (fence && own && isPast(own)) await stopUnguarded(host, folder, fence);
    const leftMs = own ? (own.boot - instantNow().boot) * 1_000 : FENCE_LOOK_MS;
    await pause(Math.min(Math.max(leftMs, LOOK_MS), FENCE_LOOK_MS), signal);
  }
}

const later = ({ boot, wall }: Instant, seconds: number): Instant => ({
  boot: boot + seconds,
  wall: wall + seconds,
});

async function stopUnguarded(
  host: Pick<AccountPorts, 'log'>,
  folder: TaskFolder,
  fence: Fence,
): Promise<void> {
  const { taskId, codexHome, socket: socketPath } = folder;
  const record = await readProcessRecord(folder);
  // Stops a Codex of unknown state like a living one.
  if (!record || !(await isAlive(record).catch(() => true))) return;
  host.log.error({ taskId, pid: record.pid }, 'codex.unguarded');
  const graceMs = gracesAt(fence).secondGraceMs;
  await stopProcess(record, { codexHome, socketPath, graceMs, secondGraceMs: graceMs }).catch(
    (error: unknown) => host.log.error({ taskId, reason: reasonOf(error) }, 'codex.stop.failed'),
  );
}

async function keepSaved(
  host: AccountPorts,
  taskId: string,
  lease: LeaseRef,
  found: Watched,
  signal: AbortSignal,
): Promise<void> {
  const alarm = changeAlarm('auth.json', (error) =>
    host.log.warn({ taskId, reason: error.message }, 'credential.watch.failed'),
  );
  let watched: PreparedTask | null = null;
  let checkedAt = -Infinity;
  try {
    while (!signal.aborted) {
      // After the lease's time, whoever acquires it again saves first.
      const isOver = found.usesSeed() && (await isOverdue(host, taskId));
      const task = isOver ? null : found.find();
      if (task && task !== watched) {
        watched = task;
        alarm.watch(task.folder.codexHome);
      }
      const saved =
        task && (await attempt(host, lease, 'credential.save', () => saveCredential(host, task, lease)));
      if (saved && saved.kind === 'quarantined') throw leaseLost(lease, saved.reason);
      if (task && performance.now() - checkedAt >= CHECK_MS) {
        checkedAt = performance.now();
        await attempt(host, lease, 'credential.check', () => checkHome(host, task));
      }
      await alarm.rings(task ? (saved ? POLL_MS : RETRY_MS) : LOOK_MS, signal);
    }
  } finally {
    alarm.close();
  }
}

/** Null: it failed, which is logged. */
async function attempt<T>(
  { log }: Pick<AccountPorts, 'log'>,
  { seedId }: LeaseRef,
  what: string,
  act: () => Promise<T>,
): Promise<T | null> {
  try {
    return await act();
  } catch (error) {
    log.warn({ seedId, reason: reasonOf(error) }, `${what}.retry`);
    return null;
  }
}
