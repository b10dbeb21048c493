import { CancellationScope, CancelledFailure, condition } from '@temporalio/workflow';
import type { BusyLimit, Held, LeaseRef } from '../contract/activities.js';
import { continueIfLong, shouldContinue } from './continue-as-new.js';
import { credentialOf } from './execution-hooks.js';
import { makeWay, AssignmentGoesOn } from './make-way.js';
import { release } from './release.js';
import { failure } from './failures.js';
import { sharedProxy } from './activity-proxies.js';
import type { Task } from './task.js';

const FIRST_WAIT_MS = 1_000;
/**
 * Polls in case a worker's signal of a free seed is lost. An hour of waiting costs the history about 140 events.
 * Shorter than the time for which the database remembers a waiter.
 */
const LAST_WAIT_MS = 300_000;

/**
 * Leases the seed that the input names; null where it names none, or `closed`. A parked task, whose account is out of
 * quota, waits for its seed's reset or for another seed of its pool, and without a seed for the reset.
 * @throws ApplicationFailure `NoCredential`: no living seed exists, or none came within `waitMs`
 */
export async function waitForCredential(task: Task): Promise<LeaseRef | null | 'closed'> {
  task.state.waitingForCredentialSinceMs ??= Date.now();
  const outcome = hasSeed(task) ? await waitForSeed(task) : await waitForReset(task);
  task.state.waitingForCredentialSinceMs = null;
  task.update({ parkedUntil: undefined });
  return outcome;
}

const hasSeed = ({ spec: { credential, hooks } }: Task) =>
  'pool' in credential || 'seedId' in credential || hooks.seedProvider !== undefined;

async function waitForSeed(task: Task): Promise<LeaseRef | null | 'closed'> {
  const { spec, state, run } = task;
  const credential = spec.hooks.seedProvider ? await credentialOf(task) : spec.credential;
  if (credential === 'closed') return 'closed';
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LAST_WAIT_MS)) {
    showWait(task);
    if (state.closing) return 'closed';
    continueIfLong();
    const { seedAvailableCount: freed } = run;
    const acquired = await sharedProxy(task).acquireLease({ ref: task.ref, credential });
    state.searchAttributes = acquired.searchAttributes;
    if (acquired.kind === 'held') {
      if (run.mayAdopt && isAdoptable(task, acquired)) throw new AssignmentGoesOn(acquired);
      if ((await makeWay(task, acquired)) === 'closed') return 'closed';
      waitMs = FIRST_WAIT_MS;
      continue;
    }
    if (acquired.kind === 'leased') await giveBackIfCancelled(task, acquired.lease);
    if (acquired.kind !== 'busy') return acquired.kind === 'leased' ? acquired.lease : null;
    noteLimit(task, acquired.limit);
    const left = remainingMs(task);
    if (left <= 0)
      throw failure(
        'NoCredential',
        `Every seed of ${JSON.stringify(credential)} stayed leased or out of quota: wait longer or add seeds`,
      );
    const wakes = () => state.closing || run.seedAvailableCount !== freed || shouldContinue();
    // Jitter keeps tasks that wait for one pool from asking all at once.
    const longest = waitMs * (0.8 + Math.random() * 0.2);
    const untilResetMs = untilReset(task);
    const reset = untilResetMs > 0 ? untilResetMs + Math.random() * 1_000 : Infinity;
    if (!wakes()) await condition(wakes, Math.max(Math.min(longest, left, reset), 1));
  }
}

/** A reset, or the next run after a timeout, finds the session of its own chain of runs and continues it. */
const isAdoptable = (task: Task, { by, lease }: Held): boolean =>
  by.runId === task.ref.runId && (lease !== null || !hasSeed(task));

/** Releases a lease that came after the task was cancelled. */
async function giveBackIfCancelled(task: Task, lease: LeaseRef): Promise<void> {
  if (!CancellationScope.current().consideredCancelled) return;
  await release(task, lease);
  throw new CancelledFailure('Workflow cancelled');
}

/** Milliseconds until the reset for which a task is parked, or 0. */
function untilReset({
  state: {
    status: { parkedUntil },
  },
}: Task): number {
  return parkedUntil === undefined ? 0 : Math.max(Date.parse(parkedUntil) - Date.now(), 0);
}

/** Whether its account met a limit, unlike a task that has not begun. */
const wasLimited = ({ state }: Task): boolean => state.assignment.stage === 'parked';

/** Moves a parked task whose reset has come to those that wait. */
function showWait(task: Task): void {
  const { parkedUntil, state } = task.state.status;
  if (untilReset(task) > 0) return task.enter('parked');
  if (state === 'waiting-for-credential') return;
  // The time of its `waitMs` begins now.
  if (parkedUntil !== undefined && wasLimited(task))
    task.state.waitingForCredentialSinceMs = Date.parse(parkedUntil);
  task.update({ parkedUntil: undefined });
  task.enter('waiting-for-credential');
}

/**
 * Shows when the first of its accounts is back. A task that has not begun is parked only when all are out of quota,
 * since a leased one may be released at any time.
 */
function noteLimit(task: Task, limit: BusyLimit | null | undefined): void {
  if (limit === undefined) return;
  if (limit && (limit.isAll || wasLimited(task))) task.update({ parkedUntil: limit.until });
  else task.update({ parkedUntil: undefined });
  showWait(task);
}

/** Milliseconds of `credential.waitMs` that are left. */
function remainingMs(task: Task): number {
  const { credential } = task.spec;
  const { status, waitingForCredentialSinceMs } = task.state;
  const waitMs = 'waitMs' in credential ? credential.waitMs : undefined;
  const isParked = status.parkedUntil !== undefined && wasLimited(task);
  if (waitMs === undefined || isParked) return Infinity;
  return (waitingForCredentialSinceMs ?? Date.now()) + waitMs - Date.now();
}

async function waitForReset(task: Task): Promise<LeaseRef | null | 'closed'> {
  const { parkedUntil } = task.state.status;
  if (parkedUntil === undefined) return waitForSeed(task);
  task.enter('parked');
  for (;;) {
    if (task.state.closing) return 'closed';
    continueIfLong();
    const left = Date.parse(parkedUntil) - Date.now();
    if (left <= 0) return null;
    await condition(() => task.state.closing || shouldContinue(), left);
  }
}
