import { ActivityFailure, CancellationScope, condition, TimeoutFailure } from '@temporalio/workflow';
import type { Duration } from '@temporalio/common';
import type { Claimed, LeaseRef, TaskRef } from '../step-arguments.js';
import { untilClosed } from './carry-over.js';
import { firstToSettle } from './settle.js';
import { CLAIM_WAIT, claimHost, sharedSteps } from './steps.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';

/** Where a task runs and with which credential. */
export interface Place {
  readonly hostId: string;
  /** Null: no seed, so nothing to watch, save or release. */
  readonly lease: LeaseRef | null;
  /** How long a lease lives there without renewal, milliseconds. */
  readonly ttlMs?: number;
}

/** The task in another stay. */
export const refOf = ({ ref: { taskId, runId } }: Task, stayId: string): TaskRef => ({
  taskId,
  runId,
  stayId,
});

/**
 * A credential and a host, or null when the task was closed before it had both. A lease is not held while
 * its task waits for a host.
 */
export async function takePlace(task: Task): Promise<Place | null> {
  let lease = await waitForCredential(task);
  if (lease === 'closed') return null;
  try {
    task.enter('waiting-for-host');
    const soon = await claim(task, CLAIM_WAIT);
    if (soon !== 'late') return await settle(task, soon, lease);
  } catch (error) {
    await release(lease);
    throw error;
  }
  await release(lease);
  const later = await claim(task, '3650 days', true);
  if (later === 'late' || later === 'closed') return null;
  lease = await waitForCredential(task);
  return lease === 'closed' ? null : settle(task, later, lease);
}

/** Gives a lease back, whatever becomes of the workflow. */
export async function release(lease: LeaseRef | null): Promise<void> {
  if (lease) await CancellationScope.nonCancellable(() => sharedSteps().releaseLease(lease));
}

/**
 * @param continues whether this wait may go on in the next run; nothing is held then that could be lost
 * @param ref names the stay that is to begin there
 */
export async function claim(
  task: Task,
  wait: Duration,
  continues = false,
  ref = task.ref,
): Promise<Claimed | 'late' | 'closed'> {
  try {
    return await firstToSettle<Claimed | 'closed'>(
      () => claimHost(wait)(ref),
      continues ? () => untilClosed(task) : () => condition(() => task.closing).then(() => 'closed' as const),
    );
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) return 'late';
    throw error;
  }
}

/** As `release`, for a seed whose account is out of quota until then (ISO 8601). */
export const releaseLimited = (lease: LeaseRef, limitedUntil: string): Promise<void> =>
  CancellationScope.nonCancellable(() => sharedSteps().releaseLease({ ...lease, limitedUntil }));

export async function settle(
  task: Task,
  host: Claimed | 'closed',
  lease: LeaseRef | null,
): Promise<Place | null> {
  if (host === 'closed') {
    await release(lease);
    return null;
  }
  return takeUp(task, host, lease);
}

/** Shows where the task is from now on. */
export function takeUp(task: Task, host: Claimed, lease: LeaseRef | null): Place {
  task.status.host = host.hostId;
  task.status.seedId = lease?.seedId ?? null;
  task.left = false;
  task.launched = false;
  return { ...host, lease };
}
