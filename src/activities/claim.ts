import { TaskError } from '../errors.js';
import type { HostContext } from '../session/host-context.js';
import type { Claimed, TaskRef } from '../step-arguments.js';
import { earlierStay, yieldStay } from '../session/yield-stay.js';
import { asActivities } from './as-activity.js';
import { withHeartbeat } from './heartbeat.js';

/** A part of the time in which a step that does not heartbeat is tried again. */
const HEARTBEAT_MS = 1_000;

/** Taken only by a host that has room: the claim queue's slots are its free places. */
export const createClaimActivities = (host: HostContext) => {
  const { hostId, tasks, right, leaseTtlMs } = host;
  const steps = {
    /** Granted when nothing of an earlier stay of the task lies here any more: that is put back first. */
    async claimHost(ref: TaskRef): Promise<Claimed> {
      if (tasks.isDraining) throw new TaskError('Unavailable', 'This host takes no more tasks');
      if (!right.isHeld()) throw new TaskError('Unavailable', `Host ${hostId} has no right to run tasks now`);
      const earlier = await earlierStay(host, ref);
      if (earlier) await withHeartbeat(() => yieldStay(host, earlier), HEARTBEAT_MS);
      tasks.claim(ref);
      return { hostId, ttlMs: leaseTtlMs };
    },
  };
  return asActivities(steps);
};

export type ClaimActivities = ReturnType<typeof createClaimActivities>;
