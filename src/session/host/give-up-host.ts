import { reasonOf } from '../../errors.js';
import { endSession } from '../task/end-task.js';
import type { KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { saveForGood } from '../account/save-credential.js';
import { logUnsaved } from '../account/unsaved.js';

/**
 * Ends all sessions here when another worker runs this host from a copy of its folder and so owns its tasks and
 * leases. Stops each Codex without another refresh and saves what it had, or quarantines it when the other was
 * faster. Renews and records nothing here.
 */
export async function giveUpHost(host: KeepingHost): Promise<void> {
  host.tasks.detach();
  const ended = await Promise.allSettled(host.tasks.all().map((task) => giveUp(host, task)));
  for (const each of ended)
    if (each.status === 'rejected') host.log.error({ reason: reasonOf(each.reason) }, 'session.stop.failed');
}

async function giveUp(host: KeepingHost, task: HostTask): Promise<void> {
  await endSession(host, task.ref, { atOnce: true });
  if (task.kind === 'claimed' || !task.prepared.lease) return;
  try {
    await saveForGood(host, task.prepared, task.prepared.lease);
  } finally {
    await logUnsaved(host, task.prepared, task.prepared.lease);
  }
}
