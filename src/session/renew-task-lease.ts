import { uptimeSeconds, writeDeadline } from '../host/deadline.js';
import type { LeaseRef } from '../step-arguments.js';
import { renewLease } from '../store/leases.js';
import type { HostContext } from './host-context.js';
import { taskFolder } from './task-folder.js';

/** Renews a task's lease and moves the deadline at which its codex is stopped otherwise; `false`: it was refused. */
export async function renewTaskLease(host: HostContext, taskId: string, lease: LeaseRef): Promise<boolean> {
  const askedAt = uptimeSeconds();
  if (!(await renewLease(host.store, lease, host.leaseTtlMs))) return false;
  const { root } = taskFolder(host.config.dataDir, taskId);
  await writeDeadline(root, askedAt, host.leaseTtlMs).catch((error: NodeJS.ErrnoException) => {
    // Before the folder is made there is no codex to stop.
    if (error.code !== 'ENOENT') throw error;
  });
  return true;
}
