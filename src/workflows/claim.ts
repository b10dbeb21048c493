import { ActivityFailure, CancellationScope, condition, TimeoutFailure } from '@temporalio/workflow';
import { ACTIVITY_PROTOCOL } from '../contract/activity-protocol.js';
import type { Claimed, TaskRef } from '../contract/activities.js';
import type { ClaimRefused } from '../contract/index.js';
import { claimHost, type ClaimWait, hostProxy } from './activity-proxies.js';
import { isContinuing, unlessCancelled, untilClosed } from './continue-as-new.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';

/**
 * Waits for a host with a free place.
 * @param continues whether this wait may continue in the next run, where nothing held could be lost
 * @param ref names the assignment that is to begin there
 */
export async function claim(
  task: Task,
  wait: ClaimWait,
  continues = false,
  ref = task.ref,
): Promise<Claimed | 'late' | 'closed'> {
  const avoid = task.state.refusals.map(({ hostId }) => hostId);
  const claiming = { ...ref, protocol: ACTIVITY_PROTOCOL, ...(avoid.length > 0 && { avoid }) };
  let claimed: Claimed | null = null;
  let said: () => void = () => undefined;
  const hear = (refusal: ClaimRefused) => {
    said();
    said = task.waitFor(awaited(refusal));
  };
  task.run.claimRefused = hear;
  try {
    const settled = await raceInScope<Claimed | 'closed'>(
      async () => (claimed = await claimHost(wait)(claiming)),
      continues
        ? () => untilClosed(task)
        : () => condition(() => task.state.closing).then(() => 'closed' as const),
    );
    if (settled === 'closed') await giveBack(task, claimed, ref);
    return settled;
  } catch (error) {
    await giveBack(task, claimed, ref);
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) return 'late';
    throw error;
  } finally {
    if (task.run.claimRefused === hear) task.run.claimRefused = null;
    said();
  }
}

const awaited = ({ hostId, protocol }: ClaimRefused): string =>
  `Waits for a host of version ${protocol < ACTIVITY_PROTOCOL ? '≥ ' : ''}${ACTIVITY_PROTOCOL} of the activities: ${hostId} has ${protocol}`;

/** Releases a granted place at once when the task ends before it begins there; its next run may claim it again. */
export async function orGiveBack<T>(
  task: Task,
  claimed: Claimed,
  ref: TaskRef,
  begin: () => Promise<T | null>,
): Promise<T | null> {
  let begun: T | null;
  try {
    begun = await begin();
  } catch (error) {
    if (!isContinuing(unlessCancelled(error))) await giveBack(task, claimed, ref);
    throw error;
  }
  if (!begun) await giveBack(task, claimed, ref);
  return begun;
}

/** Releases a place that was granted too late; without this call it lapses. */
export async function giveBack(task: Task, claimed: Claimed | null, ref: TaskRef): Promise<void> {
  if (!claimed) return;
  const { closeTask } = hostProxy(task, claimed, () => 0);
  const end = { ref, reason: 'cancelled', outcome: 'cancelled', keepWork: false };
  await CancellationScope.nonCancellable(() => closeTask(end).catch(() => undefined));
}
