import { setTimeout as delay } from 'node:timers/promises';
import { TaskError } from '../../errors.js';
import { instantNow, isPast, readFence, readFenceNow } from '../../host/deadline.js';
import type { LeaseRef } from '../../step-arguments.js';
import { restoreCleared, retakeLease } from '../../store/retake-lease.js';
import type { HostContext } from '../host-context.js';
import type { PreparedTask } from '../prepared-task.js';
import { noteLease } from '../records/kept-task.js';
import { leaseInTurn, moveDeadline, ttlOf, type LeaseAnswer } from './renew-task-lease.js';
import { afterSaves, saveNow } from './save-credential.js';

const RETRY_MS = 1_000;

/**
 * Resolves when codex may be started on the task's seed: its lease was never over, or was taken again. For that the
 * database is waited for, however long it is away; what codex had refreshed is saved first.
 * @throws TaskError `LeaseLost` when somebody else had the seed meanwhile; the signal's reason when aborted
 */
export async function holdSeed(
  host: HostContext,
  task: PreparedTask,
  lease: LeaseRef,
  signal: AbortSignal,
): Promise<void> {
  while (await isFenced(task)) {
    signal.throwIfAborted();
    const answer = await takeAgain(host, task, lease);
    if (answer === 'ours') return;
    if (answer === 'taken') throw leaseLost(lease, 'somebody else had it meanwhile');
    await delay(RETRY_MS, undefined, { signal });
  }
}

/** Whether the time of the task's lease is over on this host: its codex was stopped, or is being. */
export async function isFenced({ folder }: Pick<PreparedTask, 'folder'>): Promise<boolean> {
  const fence = await readFence(folder.root);
  return fence !== null && isPast(fence);
}

/** The same of the task, or of its host as a whole, for whoever cannot wait. */
export const isStoppedByFence = (host: HostContext, { folder }: Pick<PreparedTask, 'folder'>): boolean =>
  [folder.root, host.config.dataDir].some((each) => {
    const fence = readFenceNow(each);
    return fence !== null && isPast(fence);
  });

/** Saves, then takes the seed again. Codex is gone by now. */
async function takeAgain(host: HostContext, task: PreparedTask, lease: LeaseRef): Promise<LeaseAnswer> {
  const { taskId } = task.ref;
  await task.tokens?.settled();
  return leaseInTurn(host, taskId, () =>
    // No save under the old epoch may come to the database after the new one.
    afterSaves(host, taskId, async () => {
      await restoreCleared(host.store, lease, task.savedAuth, ttlOf(host));
      const { kind } = await saveNow(host, task, lease);
      if (kind === 'quarantined') return 'taken';
      const askedAt = instantNow();
      const ttlMs = ttlOf(host);
      const taken = await retakeLease(host.store, lease, host.hostId, ttlMs);
      if (!taken) return 'taken';
      // Everybody here who holds this lease has the same object.
      lease.leaseEpoch = taken.leaseEpoch;
      await noteLease(task.folder, lease);
      await moveDeadline(host, taskId, askedAt, ttlMs);
      host.log.warn({ taskId, seedId: lease.seedId, leaseEpoch: lease.leaseEpoch }, 'lease.retaken');
      return 'ours';
    }),
  );
}

export const leaseLost = ({ seedId }: LeaseRef, why: string): TaskError =>
  new TaskError('LeaseLost', `Lease lost on seed ${seedId}: ${why}`);
