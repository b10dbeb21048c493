import { setTimeout as delay } from 'node:timers/promises';
import { reasonOf } from '../../errors.js';
import type { LeaseRef } from '../../contract/activities.js';
import { deadline } from '../../async/within.js';
import { stopAndNote } from '../task/stop-and-note.js';
import type { KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { renewTaskLease } from '../account/renew-task-lease.js';
import { saveForGood } from '../account/save-credential.js';
import { isUnsaved, logUnsaved } from '../account/unsaved.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { tryToNote } from '../task/try-to-note.js';

/** How long a database that does not answer is asked to take a refreshed token before the worker goes. Milliseconds. */
const SAVE_MS = 15_000;
/** How long saving and renewing may take in all. Milliseconds. */
const KEEP_MS = 25_000;
const RETRY_MS = 1_000;

/**
 * Stops codex gently in every task here; the folders stay for the next worker on this data folder, and for as long
 * as after a detach the right to run them and their accounts do.
 */
export async function stopSessions(host: KeepingHost): Promise<void> {
  host.tasks.detach();
  const stops = host.tasks.all().map((task) => stopTask(host, task));
  const failed = (await Promise.allSettled(stops)).filter((each) => each.status === 'rejected');
  for (const { reason } of failed) host.log.error({ reason: reasonOf(reason) }, 'session.stop.failed');
}

/** Stops codex gently in one task, and saves its credential. The next worker goes on with the task. */
export async function stopTask(host: KeepingHost, task: HostTask): Promise<void> {
  const turnId = task.is === 'live' ? task.session.thread.turns.runningId : null;
  // The next worker on this data folder does that turn again.
  await stopAndNote(host, task, turnId);
  if (task.is === 'claimed') return;
  const { ledger, lease } = task.prepared;
  // The ledger is already closed when the task ended first.
  await tryToNote(host, task.ref.taskId, () => ledger.write({ t: 'stopped' }).catch(() => undefined));
  if (!lease) return;
  await deadline(KEEP_MS, keepAccount(host, task.prepared, lease)).catch((error: unknown) =>
    host.log.error({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'session.stop.failed'),
  );
  await logUnsaved(host, task.prepared, lease);
}

/** A lease that ends while the newest token is here alone gives the next holder one that is spent. */
async function keepAccount(host: KeepingHost, task: PreparedTask, lease: LeaseRef): Promise<void> {
  const until = performance.now() + Math.min(SAVE_MS, host.config.drainWaitMs);
  while (!(await save(host, task, lease)) && performance.now() < until) await delay(RETRY_MS);
  // A refused renewal means the lease was taken; the next worker will find out.
  await renewTaskLease(host, task.ref.taskId, lease);
}

/** False: what codex refreshed is still nowhere else. */
async function save(host: KeepingHost, task: PreparedTask, lease: LeaseRef): Promise<boolean> {
  try {
    await saveForGood(host, task, lease);
    return true;
  } catch (error) {
    host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'credential.save.retry');
    return !(await isUnsaved(task));
  }
}
