import { condition } from '@temporalio/workflow';
import type { HostLook, HostSight } from '../contract/activities.js';
import { sharedProxy } from './activity-proxies.js';
import type { Task } from './task.js';

/**
 * Pauses between looks at a silent host, as parts of a lease's time: its renewal, due each sixth, is seen soon, and
 * its end at once.
 */
const FIRST_PAUSE = 1 / 12;
/** How long after the end of a right it is looked at. Milliseconds. */
const AFTER_MS = 1_000;
/**
 * How long a right has to be over, as a part of a lease's time: a host that was frozen or cut off needs some seconds
 * to renew it, and moving costs the work since the last checkpoint.
 */
const SURE = 1 / 4;
/**
 * Pauses between looks for the return of a lost host, in case its report is lost. An hour of it costs the history
 * about a hundred events.
 */
const FIRST_RETURN_MS = 5_000;
const LAST_RETURN_MS = 600_000;
/** Pauses between looks whether a living host has evicted a task, in case its report is lost. */
const FIRST_LEAVE_MS = 1_000;
const LAST_LEAVE_MS = 60_000;

/** State of a host whose right was over: once it holds again, the host has come back. */
const LOST: HostSight = { isAlive: false, expiresAtMs: 0, endsInMs: 0 };

/**
 * Waits until a host renews its right, and so lives, or the right is over; no activity runs between looks.
 * @param away only the end of its right counts
 */
export async function watchHost(
  task: Task,
  hostId: string,
  { away, ttlMs }: { away: boolean; ttlMs: number },
): Promise<'over' | 'renewed'> {
  const { ref } = task;
  let since: HostSight | undefined;
  let pauseMs = ttlMs * FIRST_PAUSE;
  for (;;) {
    const look: HostLook = await sharedProxy(task).awaitHost({ hostId, ref, away, ...(since && { since }) });
    if (typeof look === 'string') return look;
    since = look;
    await pause(look.isAlive ? Math.min(pauseMs, look.endsInMs + AFTER_MS) : ttlMs * SURE);
    pauseMs *= 2;
  }
}

/** Whether a host has its right again. */
export const hasReturned = async (task: Task, hostId: string): Promise<boolean> =>
  (await sharedProxy(task).awaitHost({ hostId, ref: task.ref, since: LOST })) === 'renewed';

/** Whether a host has its right now, and so lives despite its silence. */
export async function holdsHostLease(task: Task, hostId: string): Promise<boolean> {
  const look = await sharedProxy(task).awaitHost({ hostId, ref: task.ref });
  return typeof look === 'string' ? look === 'renewed' : look.isAlive;
}

/** Waits without a limit until a host has its right again. */
export async function whenReturned(task: Task, hostId: string): Promise<'back'> {
  for (let looks = 0; ; looks++) {
    await pause(pauseBefore(looks, Math.random()));
    if (await hasReturned(task, hostId)) return 'back';
  }
}

/**
 * Milliseconds before a look for the return of a lost host.
 * @param looks how many there were
 * @param chance from 0 to 1: spreads the tasks of one host
 */
export const pauseBefore = (looks: number, chance: number): number =>
  Math.min(FIRST_RETURN_MS * 3 ** looks, LAST_RETURN_MS) * (0.8 + chance * 0.2);

/** Has a living host evict the task, and waits until it has, or until its right is over. */
export async function evict(task: Task, hostId: string, ref = task.ref): Promise<'over' | 'left'> {
  for (let pauseMs = 0; ; pauseMs = Math.min(Math.max(pauseMs * 2, FIRST_LEAVE_MS), LAST_LEAVE_MS)) {
    if (pauseMs > 0) await pause(pauseMs);
    const seen = await sharedProxy(task).evictTask({ hostId, ref, asked: pauseMs > 0 });
    if (seen !== 'asked') return seen;
  }
}

/** Cancels the timer with its scope. */
const pause = async (ms: number): Promise<void> =>
  void (await condition(() => false, Math.max(Math.ceil(ms), 1)));
