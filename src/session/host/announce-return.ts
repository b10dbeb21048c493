import { reasonOf } from '../../errors.js';
import type { HostContext } from '../model/host-context.js';

/**
 * Tells the workflow of each task here that this host is back after its right was over. The workflow's own looks make
 * up for a lost signal.
 */
export function announceReturn(host: HostContext): void {
  const { hostId, log, tasks } = host;
  for (const { kind, ref } of tasks.all()) {
    const { taskId } = ref;
    if (kind === 'claimed' || tasks.isLeaving(taskId) || host.hostLease.isToEvict(taskId)) continue;
    host
      .signalWorkflow(ref, 'hostRestarted', { hostId })
      .catch((error: unknown) => log.warn({ taskId, reason: reasonOf(error) }, 'task.return.report.failed'));
  }
}
