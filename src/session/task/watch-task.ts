import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import { reasonOf, TaskError } from '../../errors.js';
import { leaseLost } from '../account/hold-seed.js';
import { watchCredential } from '../account/watch-credential.js';
import { endSession } from './end-task.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';

/**
 * Keeps the lease and the credential of a task here, independently of its workflow's activities: Temporal may be away
 * for longer than a lease while Codex runs. Ends with the task's last save, a release of its account, the end of the
 * task, or the stop of the worker. Stops Codex when another holder has the lease. Idempotent.
 */
export function watchTask(host: KeepingHost, ref: TaskRef, lease: LeaseRef): void {
  if (host.tasks.isWatched(ref.taskId, lease) || host.tasks.detached.aborted) return;
  const watch = host.tasks.takeWatch(ref.taskId, lease);
  const signal = AbortSignal.any([watch.signal, host.tasks.detached]);
  const here = () => taskOf(host, ref);
  const find = () => {
    const task = here();
    return task && task.kind !== 'claimed' && task.prepared.lease === lease ? task.prepared : null;
  };
  const usesSeed = () => {
    const task = here();
    return task !== null && goesOn(task);
  };
  watchCredential(host, ref.taskId, lease, { find, usesSeed }, signal)
    .catch((error: unknown) => (signal.aborted ? undefined : lost(host, ref, lease, error)))
    .catch((error: unknown) =>
      host.log.error({ taskId: ref.taskId, reason: reasonOf(error) }, 'codex.stop.failed'),
    )
    .finally(() => watch.end());
}

function taskOf(host: Pick<HostContext, 'tasks'>, ref: TaskRef): HostTask | null {
  const task = host.tasks.find(ref.taskId);
  return task?.ref.assignmentId === ref.assignmentId ? task : null;
}

/** It has a Codex, or is to have one again. */
const goesOn = (task: HostTask): boolean =>
  !task.stopping.signal.aborted &&
  (task.kind === 'live' || (task.kind === 'recovering' && task.failed === null));

/** Codex must not continue without its lease, whatever the workflow does next. */
async function lost(
  host: Pick<HostContext, 'tasks' | 'log'>,
  ref: TaskRef,
  lease: LeaseRef,
  error: unknown,
): Promise<void> {
  const task = taskOf(host, ref);
  if (!task) return;
  const { taskId } = ref;
  const reason = error instanceof TaskError ? error : leaseLost(lease, reasonOf(error));
  host.log.error({ taskId, reason: reason.message }, 'lease.lost');
  if (task.kind === 'claimed' || (task.kind === 'prepared' && !task.parked)) {
    const message = `Seed ${lease.seedId} was leased to another before codex started`;
    return host.tasks.noteLost(ref, new TaskError('LeaseRefused', message));
  }
  // A task that ends or leaves saves its credential; the database decides whether it goes into the seed.
  if (!goesOn(task) || host.tasks.isLeaving(taskId)) return;
  // A workflow that is not told now asks for the session again.
  host.tasks.noteLost(ref, reason);
  await endSession(host, ref, { atOnce: true });
}
