import { releaseLease } from '../../store/leases.js';
import { closeTask, endSession } from './end-task.js';
import type { KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { saveOrphan } from './save-orphan.js';
import { saveForGood } from '../account/save-credential.js';

/**
 * Ends a task here whose workflow has ended without it: saves it as failed, releases its lease and removes its
 * folder.
 */
export async function endOrphan(
  host: KeepingHost,
  task: Exclude<HostTask, { kind: 'claimed' }>,
): Promise<void> {
  const { ref } = task;
  const { lease } = task.prepared;
  host.log.warn({ taskId: ref.taskId }, 'task.orphaned');
  await endSession(host, ref);
  if (lease) {
    await saveForGood(host, task.prepared, lease);
    await releaseLease(host.store, lease);
  }
  await saveOrphan(host, task.prepared.folder);
  await closeTask(host, { ref, reason: 'its workflow has ended', outcome: 'failed', keepWork: false });
}
