import { within } from '../../async/within.js';
import { reasonOf } from '../../errors.js';
import { endSession } from '../task/end-task.js';
import type { KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { renewTaskLease } from '../account/renew-task-lease.js';
import { saveCredential } from '../account/save-credential.js';
import { logUnsaved } from '../account/unsaved.js';
import { tryToNote } from '../task/try-to-note.js';

/** How long codex gets to begin a turn that it was asked for. Milliseconds. */
const BEGIN_MS = 2_000;
/** How long saving and renewing may take; without them the guard stops codex in time. */
const LEASE_MS = 5_000;

/**
 * Lets go of every codex here and leaves it running, with leases and deadlines for a while without a worker. The
 * next one on this data folder goes on with turns and open requests; nothing that came until now is lost.
 */
export async function detachSessions(host: KeepingHost): Promise<void> {
  host.tasks.detach();
  const detached = await Promise.allSettled(host.tasks.all().map((task) => detach(host, task)));
  for (const each of detached)
    if (each.status === 'rejected')
      host.log.error({ reason: reasonOf(each.reason) }, 'session.detach.failed');
}

async function detach(host: KeepingHost, task: HostTask): Promise<void> {
  if (task.is === 'claimed') return;
  const { prepared, ref } = task;
  if (task.is === 'live') {
    const { thread, link } = task.session;
    void thread.turns.hold();
    // A turn that is on its way may not be in codex's list yet: the next worker would send it again.
    const { turn } = thread.turns;
    if (turn) await within(BEGIN_MS, turn.begun);
    link.flush();
    task.session.leave({ isGone: false });
  } else await endSession(host, ref);
  const { lease, journal, ledger } = prepared;
  // A disk that takes nothing keeps neither a token from the database nor the lease from its codex.
  const synced = tryToNote(host, ref.taskId, () => Promise.all([journal.sync(), ledger.sync()]));
  // A refreshed token that is not saved yet is in this process alone.
  await Promise.all([synced, prepared.account.tokens?.settled()]);
  if (!lease) return;
  const kept = saveCredential(host, prepared, lease)
    .catch((error: unknown) =>
      host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'credential.save.retry'),
    )
    .then(() => renewTaskLease(host, ref.taskId, lease));
  const answer = await within(LEASE_MS, kept);
  if (answer === 'taken') await endSession(host, ref, { atOnce: true });
  await logUnsaved(host, prepared, lease);
  host.log.info({ taskId: ref.taskId, renewed: answer === 'ours' }, 'task.detached');
}
