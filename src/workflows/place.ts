import { ActivityFailure, CancellationScope, condition, TimeoutFailure } from '@temporalio/workflow';
import type { Duration } from '@temporalio/common';
import type { Claimed, LeaseRef } from '../step-arguments.js';
import { failure, firstToSettle } from './settle.js';
import { CLAIM_WAIT, claimHost, sharedSteps } from './steps.js';
import type { Task } from './task.js';

/** Where a task runs and with which credential. */
export interface Place {
  readonly hostId: string;
  /** Null: no seed, so nothing to watch, save or release. */
  readonly lease: LeaseRef | null;
  /** How long a lease lives there without renewal, milliseconds. */
  readonly ttlMs?: number;
}

const FIRST_WAIT_MS = 1_000;
/** A released seed is taken within 5 s. */
const LAST_WAIT_MS = 4_000;

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
  const later = await claim(task, '3650 days');
  if (later === 'late' || later === 'closed') return null;
  lease = await waitForCredential(task);
  return lease === 'closed' ? null : settle(task, later, lease);
}

/** Gives a lease back, whatever becomes of the workflow. */
export async function release(lease: LeaseRef | null): Promise<void> {
  if (lease) await CancellationScope.nonCancellable(() => sharedSteps().releaseLease(lease));
}

export async function waitForCredential(task: Task): Promise<LeaseRef | null | 'closed'> {
  const { credential } = task.spec;
  const givesUpAt =
    'waitMs' in credential && credential.waitMs !== undefined ? Date.now() + credential.waitMs : null;
  task.enter('waiting-for-credential');
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 1.5, LAST_WAIT_MS)) {
    if (task.closing) return 'closed';
    const acquired = await sharedSteps().acquireLease({ ref: task.ref, credential });
    task.searchAttributes = acquired.searchAttributes;
    if (acquired.kind !== 'busy') return acquired.kind === 'leased' ? acquired.lease : null;
    if (givesUpAt !== null && Date.now() >= givesUpAt)
      throw failure(
        'NoCredential',
        `Every seed of ${JSON.stringify(credential)} stayed leased: wait longer or add seeds`,
      );
    // Jitter keeps tasks that wait for one pool from asking all at once.
    await condition(() => task.closing, waitMs * (0.8 + Math.random() * 0.2));
  }
}

export async function claim(task: Task, wait: Duration): Promise<Claimed | 'late' | 'closed'> {
  try {
    return await firstToSettle<Claimed | 'closed'>(
      () => claimHost(wait)(task.ref),
      async () => {
        await condition(() => task.closing);
        return 'closed';
      },
    );
  } catch (error) {
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) return 'late';
    throw error;
  }
}

export async function settle(
  task: Task,
  host: Claimed | 'closed',
  lease: LeaseRef | null,
): Promise<Place | null> {
  if (host === 'closed') {
    await release(lease);
    return null;
  }
  task.status.host = host.hostId;
  task.status.seedId = lease?.seedId ?? null;
  task.left = false;
  task.launched = false;
  return { ...host, lease };
}
