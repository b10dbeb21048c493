import { within } from '../../async/within.js';
import { reasonOf } from '../../errors.js';
import { endSession } from '../task/end-task.js';
import type { KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { renewTaskLease } from '../account/renew-task-lease.js';
import { saveCredential } from '../account/save-credential.js';
import { logUnsaved } from '../account/unsaved.js';
import { tryToNote } from '../task/try-to-note.js';

/** How long Codex may take to begin a requested turn. Milliseconds. */
const BEGIN_MS = 2_000;
/** How long saving and renewing may take; else the guard stops Codex in time. */
const LEASE_MS = 5_000;

/**
 * Detaches from every Codex here and leaves it running, with leases and deadlines for a while without a worker. The
 * next worker on this data folder continues turns and open requests without a loss.
 */
export async function detachSessions(host: KeepingHost): Promise<void> {
  host.tasks.detach();
  const detached = await Promise.allSettled(host.tasks.all().map((task) => detach(host, task)));
  for (const each of detached)
    if (each.status === 'rejected')
      host.log.error({ reason: reasonOf(each.reason) }, 'session.detach.failed');
}

async function detach(host: KeepingHost, task: HostTask): Promise<void> {
  if (task.kind === 'claimed') return;
  const { prepared, ref } = task;
  if (task.kind === 'live') {
    const { thread, link } = task.session;
    void thread.turns.hold();
    // A starting turn may be missing in Codex's list: the next worker would send it again.
    const { turn } = thread.turns;
    if (turn) await within(BEGIN_MS, turn.begun);
    link.flush();
    task.session.leave({ isGone: false });
  } else await endSession(host, ref);
  const { lease, journal, ledger } = prepared;
  // A full disk does not keep a token from the database or a lease from its Codex.
  const synced = tryToNote(host, ref.taskId, () => Promise.all([journal.sync(), ledger.sync()]));
  // A refreshed, unsaved token is in this process alone.
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
