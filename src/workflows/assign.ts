import { ActivityFailure, CancellationScope, condition, TimeoutFailure } from '@temporalio/workflow';
import type { ClaimRefused } from '../contract/index.js';
import type { Claimed, LeaseRef, TaskRef } from '../contract/activities.js';
import { isContinuing, unlessCancelled, untilClosed } from './continue-as-new.js';
import { ACTIVITY_PROTOCOL } from '../contract/activity-protocol.js';
import { release } from './release.js';
import { firstToSettle } from './settle.js';
import { ANY_WAIT, CLAIM_WAIT, claimHost, type ClaimWait, hostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import type { Placement } from './assignment.js';

/** The task in another assignment. */
export const refOf = ({ ref: { taskId, runId } }: Task, assignmentId: string): TaskRef => ({
  taskId,
  runId,
  assignmentId,
});

/**
 * A credential and a host, or null when the task was closed before it had both. A lease is not held while
 * its task waits for a host.
 */
export async function assign(task: Task): Promise<Placement | null> {
  let lease = await waitForCredential(task);
  if (lease === 'closed') return null;
  try {
    task.enter('waiting-for-host');
    const soon = await claim(task, CLAIM_WAIT);
    if (soon !== 'late') return await recordPlacement(task, soon, lease);
  } catch (error) {
    await release(task, lease);
    throw error;
  }
  await release(task, lease);
  const later = await claim(task, ANY_WAIT, true);
  if (later === 'late' || later === 'closed') return null;
  return orGiveBack(task, later, task.ref, async () => {
    lease = await waitForCredential(task);
    return lease === 'closed' ? null : recordPlacement(task, later, lease);
  });
}

/**
 * @param continues whether this wait may go on in the next run; nothing is held then that could be lost
 * @param ref names the assignment that is to begin there
 */
export async function claim(
  task: Task,
  wait: ClaimWait,
  continues = false,
  ref = task.ref,
): Promise<Claimed | 'late' | 'closed'> {
  const avoid = task.refusals.map(({ hostId }) => hostId);
  const claiming = { ...ref, protocol: ACTIVITY_PROTOCOL, ...(avoid.length > 0 && { avoid }) };
  let claimed: Claimed | null = null;
  let said: () => void = () => undefined;
  const hear = (refusal: ClaimRefused) => {
    said();
    said = task.waitFor(awaited(refusal));
  };
  task.claimRefused = hear;
  try {
    const settled = await firstToSettle<Claimed | 'closed'>(
      async () => (claimed = await claimHost(wait)(claiming)),
      continues ? () => untilClosed(task) : () => condition(() => task.closing).then(() => 'closed' as const),
    );
    if (settled === 'closed') await giveBack(task, claimed, ref);
    return settled;
  } catch (error) {
    await giveBack(task, claimed, ref);
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) return 'late';
    throw error;
  } finally {
    if (task.claimRefused === hear) task.claimRefused = null;
    said();
  }
}

const awaited = ({ hostId, protocol }: ClaimRefused): string =>
  `Waits for a host of version ${protocol < ACTIVITY_PROTOCOL ? '≥ ' : ''}${ACTIVITY_PROTOCOL} of the steps: ${hostId} has ${protocol}`;

/** Gives a granted place back at once when the task ends before it begins there; the next run of it may claim it again. */
export async function orGiveBack(
  task: Task,
  claimed: Claimed,
  ref: TaskRef,
  begin: () => Promise<Placement | null>,
): Promise<Placement | null> {
  let place: Placement | null;
  try {
    place = await begin();
  } catch (error) {
    if (!isContinuing(unlessCancelled(error))) await giveBack(task, claimed, ref);
    throw error;
  }
  if (!place) await giveBack(task, claimed, ref);
  return place;
}

/** A place that was granted when nobody wanted it any more; without this word it lapses. */
export async function giveBack(task: Task, claimed: Claimed | null, ref: TaskRef): Promise<void> {
  if (!claimed) return;
  const { closeTask } = hostProxy(task, claimed, () => 0);
  const end = { ref, reason: 'cancelled', outcome: 'cancelled', keepWork: false };
  await CancellationScope.nonCancellable(() => closeTask(end).catch(() => undefined));
}

export async function recordPlacement(
  task: Task,
  host: Claimed | 'closed',
  lease: LeaseRef | null,
): Promise<Placement | null> {
  if (host === 'closed') {
    await release(task, lease);
    return null;
  }
  return takeUp(task, host, lease);
}

/** Shows where the task is from now on. */
export function takeUp(task: Task, host: Claimed, lease: LeaseRef | null): Placement {
  task.update({ host: host.hostId, seedId: lease?.seedId ?? null });
  task.evicted = false;
  task.codexStarted = false;
  return { ...host, lease };
}
