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

/** How long a stopping worker asks a silent database to save a refreshed token. Milliseconds. */
const SAVE_MS = 15_000;
/** How long saving and renewing may take in all. Milliseconds. */
const KEEP_MS = 25_000;
const RETRY_MS = 1_000;

/**
 * Stops Codex gently in every task here. The folders stay for the next worker on this data folder, and the right and
 * the leases last as long as after a detach.
 */
export async function stopSessions(host: KeepingHost): Promise<void> {
  host.tasks.detach();
  const stops = host.tasks.all().map((task) => stopTask(host, task));
  const failed = (await Promise.allSettled(stops)).filter((each) => each.status === 'rejected');
  for (const { reason } of failed) host.log.error({ reason: reasonOf(reason) }, 'session.stop.failed');
}

/** Stops Codex gently in one task and saves its credential. The next worker continues the task. */
export async function stopTask(host: KeepingHost, task: HostTask): Promise<void> {
  const turnId = task.kind === 'live' ? task.session.thread.turns.runningId : null;
  // The next worker on this data folder repeats that turn.
  await stopAndNote(host, task, turnId);
  if (task.kind === 'claimed') return;
  const { ledger, lease } = task.prepared;
  // The ledger is already closed when the task ended first.
  await tryToNote(host, task.ref.taskId, () => ledger.write({ t: 'stopped' }).catch(() => undefined));
  if (!lease) return;
  await deadline(KEEP_MS, keepAccount(host, task.prepared, lease)).catch((error: unknown) =>
    host.log.error({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'session.stop.failed'),
  );
  await logUnsaved(host, task.prepared, lease);
}

/** If a lease ends while the newest token is only here, the next holder gets a spent one. */
async function keepAccount(host: KeepingHost, task: PreparedTask, lease: LeaseRef): Promise<void> {
  const until = performance.now() + Math.min(SAVE_MS, host.config.drainWaitMs);
  while (!(await save(host, task, lease)) && performance.now() < until) await delay(RETRY_MS);
  // A refused renewal means that the lease was taken; the next worker finds out.
  await renewTaskLease(host, task.ref.taskId, lease);
}

/** False: the refreshed token is still nowhere else. */
async function save(host: KeepingHost, task: PreparedTask, lease: LeaseRef): Promise<boolean> {
  try {
    await saveForGood(host, task, lease);
    return true;
  } catch (error) {
    host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'credential.save.retry');
    return !(await isUnsaved(task));
  }
}
