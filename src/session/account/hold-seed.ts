import { setTimeout as delay } from 'node:timers/promises';
import { TaskError } from '../../errors.js';
import { instantNow, isPast, readFence, readFenceNow } from '../../process/deadline.js';
import type { ProcessIdentity } from '../../process/process-identity.js';
import type { LeaseRef } from '../../contract/activities.js';
import { restoreCleared, retakeLease } from '../../store/retake-lease.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { isNotedFenced } from '../../task-folder/fenced-process.js';
import { noteLease } from '../../task-folder/task-manifest.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { leaseInTurn, moveDeadline, ttlOf, type LeaseAnswer } from './renew-task-lease.js';
import { afterSaves, saveNow } from './save-credential.js';

const RETRY_MS = 1_000;

/**
 * Resolves when Codex may start on the task's seed: its lease never ran out, or was acquired again. Waits for the
 * database without a limit and saves first what Codex had refreshed.
 * @throws TaskError `LeaseLost` when another holder had the seed meanwhile; the signal's reason when aborted
 */
export async function holdTaskSeed(
  host: AccountPorts,
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

/** Whether the task's lease has run out on this host: its Codex was stopped, or is being stopped. */
export async function isFenced({ folder }: Pick<PreparedTask, 'folder'>): Promise<boolean> {
  const fence = await readFence(folder.root);
  return fence !== null && isPast(fence);
}

/**
 * Whether the guard has stopped this Codex, or must: the lease of the task or of the host has run out. Answers at
 * once. `codex`: null where none was started.
 */
export const isStoppedByFence = (
  { config }: Pick<AccountPorts, 'config'>,
  { folder }: Pick<PreparedTask, 'folder'>,
  codex: ProcessIdentity | null,
): boolean =>
  (codex !== null && isNotedFenced(folder, codex)) ||
  [folder.root, config.dataDir].some((each) => {
    const fence = readFenceNow(each);
    return fence !== null && isPast(fence);
  });

/** Saves, then acquires the seed again. Codex has ended by now. */
async function takeAgain(host: AccountPorts, task: PreparedTask, lease: LeaseRef): Promise<LeaseAnswer> {
  const { taskId } = task.ref;
  await task.account.tokens?.settled();
  return leaseInTurn(host, taskId, () =>
    // No save under the old epoch may reach the database after the new one.
    afterSaves(host, taskId, async () => {
      await restoreCleared(host.store, lease, task.account.savedAuth, ttlOf(host));
      const { kind } = await saveNow(host, task, lease);
      if (kind === 'quarantined') return 'taken';
      // Another process adopted the task, which is now its own.
      const answer = await retake(host, task.folder, lease, { isTakingUp: false });
      if (answer === 'ours')
        host.log.warn({ taskId, seedId: lease.seedId, leaseEpoch: lease.leaseEpoch }, 'lease.retaken');
      return answer;
    }),
  );
}

/**
 * Acquires the lease of a task that an earlier process left here, with the next epoch: that process renews, saves and
 * releases nothing any more, whatever became of the lock of the data folder. Never rejects.
 */
export const takeUpLease = (host: AccountPorts, folder: TaskFolder, lease: LeaseRef): Promise<LeaseAnswer> =>
  leaseInTurn(host, folder.taskId, () => retake(host, folder, lease, { isTakingUp: true }));

async function retake(
  host: AccountPorts,
  folder: TaskFolder,
  lease: LeaseRef,
  how: { isTakingUp: boolean },
): Promise<'ours' | 'taken'> {
  const askedAt = instantNow();
  const ttlMs = ttlOf(host);
  const process = { id: host.tasks.startId, ...how };
  const taken = await retakeLease(host.store, lease, host.hostId, ttlMs, process);
  if (!taken) return 'taken';
  // Every holder of this lease in this process has the same object.
  lease.leaseEpoch = taken.leaseEpoch;
  await noteLease(folder, lease);
  await moveDeadline(host, folder.taskId, askedAt, ttlMs);
  return 'ours';
}

export const leaseLost = ({ seedId }: LeaseRef, why: string): TaskError =>
  new TaskError('LeaseLost', `Lease lost on seed ${seedId}: ${why}`);
