import { Context } from '@temporalio/activity';
import type { ClaimRefused } from '../contract/index.js';
import { reasonOf, TaskError } from '../errors.js';
import type { HostContext } from '../session/model/host-context.js';
import { ACTIVITY_PROTOCOL } from '../contract/activity-protocol.js';
import type { ClaimArguments, Claimed } from '../contract/activities.js';
import { earlierAssignment, hasAssignment, yieldAssignment } from '../session/host/yield-assignment.js';
import { asActivities } from './as-activity.js';
import { withHeartbeat } from './heartbeat.js';

/** A part of the time in which a step that does not heartbeat is tried again. */
const HEARTBEAT_MS = 1_000;

/** How often a host that could not go on with a task leaves it to others, while it cannot begin tasks: about half a minute. */
const LEFT_TO_OTHERS = 10;

/** A claim is told at these of its attempts that no host which tried it speaks its version: more would only fill its history. */
const isTold = (attempt: number): boolean => attempt <= 2 || attempt % 100 === 0;

/** Taken only by a host that has room: the claim queue's slots are its free places. A refusal leaves it to another. */
export const createClaimActivities = (host: HostContext) => {
  const { hostId, tasks, hostLease, fitness, leaseTtlMs } = host;
  const steps = {
    /**
     * Granted when nothing of an earlier assignment of the task lies here any more: that is put back first. One with which the
     * task can go on stays as it is.
     */
    async claimHost({
      protocol = ACTIVITY_PROTOCOL,
      avoid = [],
      ...ref
    }: Omit<ClaimArguments, 'protocol'> & { protocol?: number }): Promise<Claimed> {
      const refuse = (reason: string) => new TaskError('Unavailable', reason);
      if (protocol !== ACTIVITY_PROTOCOL) {
        const word = { hostId, protocol: ACTIVITY_PROTOCOL } satisfies ClaimRefused;
        if (isTold(Context.current().info.attempt))
          await withHeartbeat(() => host.signalWorkflow(ref, 'claimRefused', word), HEARTBEAT_MS).catch(
            (error: unknown) =>
              host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'claim.report.failed'),
          );
        throw refuse(`Host ${hostId} speaks version ${ACTIVITY_PROTOCOL} of the steps, the task ${protocol}`);
      }
      if (tasks.isDraining) throw refuse('This host takes no more tasks');
      if (!hostLease.isHeld()) throw refuse(`Host ${hostId} has no right to run tasks now`);
      if (fitness?.unfit) {
        const { step, reason } = fitness.unfit;
        const isForOthers = avoid.includes(hostId) && Context.current().info.attempt <= LEFT_TO_OTHERS;
        if (isForOthers || !fitness.admits(ref.taskId))
          throw refuse(`Host ${hostId} takes no new task now (${step}: ${reason})`);
      }
      const granted = { hostId, ttlMs: leaseTtlMs };
      const earlier = await earlierAssignment(host, ref);
      if (earlier) {
        if (tasks.isLeaving(ref.taskId) || hostLease.isToEvict(earlier.assignmentId))
          throw refuse(`Host ${hostId} is letting an earlier assignment of the task go`);
        if (earlier.runId === ref.runId && (await hasAssignment(host, earlier))) {
          // Its workflow took this host for lost and finds by this answer that it is not: no place is kept.
          if (tasks.find(ref.taskId)) return granted;
          throw refuse(`Host ${hostId} has not taken the task up again yet`);
        }
        await withHeartbeat(() => yieldAssignment(host, earlier), HEARTBEAT_MS);
      }
      tasks.claim(ref);
      return granted;
    },
  };
  return asActivities(steps, { isAnywhere: true });
};

export type ClaimActivities = ReturnType<typeof createClaimActivities>;
