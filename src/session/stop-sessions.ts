import { reasonOf } from '../errors.js';
import { stopAndNote } from './stop-and-note.js';
import type { HostContext } from './host-context.js';
import type { HostTask } from './host-tasks.js';
import { renewTaskLease } from './account/renew-task-lease.js';
import { saveForGood } from './account/save-credential.js';
import { tryToNote } from './try-to-note.js';

/**
 * Stops codex gently in every task here; the folders stay for the next worker on this data folder, and for as long
 * as after a detach the right to run them and their accounts do.
 */
export async function stopSessions(host: HostContext): Promise<void> {
  host.tasks.detach();
  const stops = host.tasks.all().map((task) => stopTask(host, task));
  const failed = (await Promise.allSettled(stops)).filter((each) => each.status === 'rejected');
  for (const { reason } of failed) host.log.error({ reason: reasonOf(reason) }, 'session.stop.failed');
}

/** Stops codex gently in one task, and saves its credential. The next worker goes on with the task. */
export async function stopTask(host: HostContext, task: HostTask): Promise<void> {
  const turnId = task.is === 'live' ? task.session.conversation.runningTurn : null;
  // The next worker on this data folder does that turn again.
  await stopAndNote(host, task, turnId);
  if (task.is === 'claimed') return;
  const { ledger, lease } = task.prepared;
  // Closed: its end was faster.
  await tryToNote(host, task.ref.taskId, () => ledger.write({ t: 'stopped' }).catch(() => undefined));
  if (!lease) return;
  await saveForGood(host, task.prepared, lease);
  // Refused, it is another's: the next worker sees that too.
  await renewTaskLease(host, task.ref.taskId, lease);
}
