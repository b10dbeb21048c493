import { CancellationScope } from '@temporalio/workflow';
import { reasonOf } from '../errors.js';
import type { LeaseRef, MetLimit, ReleaseArguments } from '../contract/activities.js';
import { taskFailure } from './failures.js';
import { sharedProxy } from './activity-proxies.js';
import type { Task } from './task.js';

/** Releases a lease whatever becomes of the workflow; one that cannot be released expires. */
export async function release(task: Task, lease: LeaseRef | null): Promise<void> {
  if (lease) await giveBackLease(task, lease);
}

const giveBackLease = (task: Task, lease: ReleaseArguments): Promise<void> =>
  CancellationScope.nonCancellable(async () => {
    try {
      await sharedProxy(task).releaseLease(lease);
    } catch (error) {
      task.warn(
        `The lease of seed ${lease.seedId} was not released and will expire: ${reasonOf(taskFailure(error))}`,
      );
    }
  });

/** As `release`, for a seed whose account is out of quota until then (ISO 8601). */
export const releaseOutOfQuota = (
  task: Task,
  lease: LeaseRef,
  limitedUntil: string,
  limit?: MetLimit,
): Promise<void> => giveBackLease(task, { ...lease, limitedUntil, ...(limit && { limit }) });
