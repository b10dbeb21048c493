import { setTimeout as delay } from 'node:timers/promises';
import { TaskError } from '../../errors.js';
import { readDeadline, uptimeSeconds, writeDeadline } from '../../host/deadline.js';
import type { LeaseRef } from '../../step-arguments.js';
import { renewLease } from '../../store/leases.js';
import type { HostContext } from '../host-context.js';
import type { PreparedTask } from '../prepared-task.js';
import { taskFolder } from '../records/task-folder.js';

/** How long what a detached worker leaves behind may run without the next one. */
export const DETACHED_MS = 600_000;

/**
 * Renews a task's lease and moves the deadline at which its codex is stopped otherwise; `false`: it was refused.
 * From the moment when the worker detaches, each renewal is for as long as its tasks may be alone.
 */
export function renewTaskLease(host: HostContext, taskId: string, lease: LeaseRef): Promise<boolean> {
  // One after another: an earlier, shorter one must not come to the database last.
  return host.tasks.inTurn(`lease of ${taskId}`, () =>
    renew(host, taskId, lease, host.tasks.detached.aborted ? DETACHED_MS : host.leaseTtlMs),
  );
}

async function renew(host: HostContext, taskId: string, lease: LeaseRef, ttlMs: number): Promise<boolean> {
  const askedAt = uptimeSeconds();
  if (!(await renewLease(host.store, lease, ttlMs))) return false;
  const { root } = taskFolder(host.config.dataDir, taskId);
  await writeDeadline(root, askedAt, ttlMs).catch((error: NodeJS.ErrnoException) => {
    // Before the folder is made there is no codex to stop.
    if (error.code !== 'ENOENT') throw error;
  });
  return true;
}

const RETRY_MS = 1_000;

/**
 * A codex that the guard stopped must not run again on a lease that nobody renewed: its seed may be another's.
 * @throws TaskError `LeaseLost`; the signal's reason when aborted
 */
export async function untilRenewed(
  host: HostContext,
  { ref, folder }: Pick<PreparedTask, 'ref' | 'folder'>,
  lease: LeaseRef,
  signal: AbortSignal,
): Promise<void> {
  const deadline = await readDeadline(folder.root);
  if (deadline === null || uptimeSeconds() < deadline) return;
  for (;;) {
    const renewed = await Promise.race([
      renewTaskLease(host, ref.taskId, lease).catch(() => null),
      delay(RETRY_MS, null, { signal }),
    ]);
    if (renewed) return;
    if (renewed === false)
      throw new TaskError('LeaseLost', `Lease lost on seed ${lease.seedId}: it was leased to another`);
    await delay(RETRY_MS, undefined, { signal });
  }
}
