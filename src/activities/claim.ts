import { TaskError } from '../errors.js';
import type { HostContext } from '../session/host-context.js';
import type { Claimed, TaskRef } from '../step-arguments.js';
import { asActivities } from './as-activity.js';

/** Taken only by a host that has room: the claim queue's slots are its free places. */
export const createClaimActivities = ({ hostId, tasks, right, leaseTtlMs }: HostContext) =>
  asActivities({
    async claimHost(ref: TaskRef): Promise<Claimed> {
      if (tasks.isDraining) throw new TaskError('Unavailable', 'This host takes no more tasks');
      if (!right.isHeld()) throw new TaskError('Unavailable', `Host ${hostId} has no right to run tasks now`);
      tasks.claim(ref);
      return { hostId, ttlMs: leaseTtlMs };
    },
  });

export type ClaimActivities = ReturnType<typeof createClaimActivities>;
