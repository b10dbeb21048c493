import type { LeaseRef, TaskRef } from '../step-arguments.js';
import { reasonOf, TaskError } from '../errors.js';
import { watchCredential } from './account/watch-credential.js';
import { endSession } from './end-task.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepared-task.js';

/** A task here with this lease or an earlier one. It may have been elsewhere and come back with a newer lease. */
export function findLeased(host: HostContext, ref: TaskRef, lease: LeaseRef): PreparedTask | null {
  const task = host.tasks.find(ref.taskId);
  if (!task || task.is === 'claimed' || task.ref.runId !== ref.runId) return null;
  return (task.prepared.lease?.leaseEpoch ?? 0) > lease.leaseEpoch ? null : task.prepared;
}

/**
 * Keeps the lease and the credential of a task here until `signal` aborts; the one who did so before ends. A lease
 * that is lost stops codex.
 * @throws as `watchCredential` does
 */
export async function watchTask(
  host: HostContext,
  ref: TaskRef,
  lease: LeaseRef,
  isLaunched: boolean,
  signal: AbortSignal,
  isMeanwhile = false,
): Promise<void> {
  const watch = host.tasks.takeWatch(ref.taskId, isMeanwhile);
  const ends = AbortSignal.any([signal, watch.signal]);
  const find = () => findLeased(host, ref, lease);
  try {
    await watchCredential(host, ref.taskId, lease, find, ends, isLaunched);
  } catch (error) {
    if (error instanceof TaskError && error.code === 'LeaseLost' && find())
      await stopAtOnce(host, ref, error);
    throw error;
  } finally {
    watch.end();
  }
}

/**
 * The same for a task whose session goes on while no step of its workflow watches, until one does: Temporal may be
 * away for longer than a lease, and codex runs on. A task that ends or leaves is left to those steps.
 */
export function watchMeanwhile(host: HostContext, ref: TaskRef, lease: LeaseRef): void {
  const task = host.tasks.find(ref.taskId);
  const goesOn = task?.is === 'recovering' || (task?.is === 'live' && !task.session.conversation.hasEnded);
  if (!goesOn || task.stopping.signal.aborted || host.tasks.isLeaving(ref.taskId)) return;
  if (host.tasks.isWatched(ref.taskId) || !findLeased(host, ref, lease)) return;
  watchTask(host, ref, lease, true, host.tasks.detached, true).catch((error: unknown) =>
    host.log.error({ taskId: ref.taskId, reason: reasonOf(error) }, 'watch.ended'),
  );
}

/** Without its lease codex must not go on, whatever the workflow does next. */
async function stopAtOnce(host: HostContext, ref: TaskRef, error: TaskError): Promise<void> {
  host.log.error({ taskId: ref.taskId, reason: error.message }, 'lease.lost');
  // A workflow that does not hear of it now asks for the session again.
  host.tasks.noteLost(ref, error);
  await endSession(host, ref, { atOnce: true }).catch((cause: unknown) =>
    host.log.error({ taskId: ref.taskId, reason: reasonOf(cause) }, 'codex.stop.failed'),
  );
}
