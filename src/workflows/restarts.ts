import { ActivityFailure, condition, TimeoutFailure } from '@temporalio/workflow';
import { failure, failureType } from './failures.js';
import { raceInScope } from './race.js';
import { mustRead } from './readable.js';
import type { Placed } from './assignment.js';
import type { Task } from './task.js';
import { holdsHostLease } from './watch-host.js';

/** Errors of an activity whose worker is gone or stopping. */
const HOST_GONE = new Set(['HostLost', 'WorkerShutdown', 'HostDetached']);
/** How long a host may lack a worker that left its tasks running: as long as their leases. */
const DETACHED_MS = 600_000;
const HOST_RETURNS_MS = 150_000;

export const isHostGone = (error: unknown): boolean => HOST_GONE.has(failureType(error) ?? '');

/**
 * Runs an activity on the task's host, and again whenever the host adopts the task, so each must be idempotent.
 * @throws the activity's error; `HostLost` when the host has evicted the task
 */
export async function throughRestarts<T>(task: Task, assignment: Placed, step: () => Promise<T>): Promise<T> {
  for (;;) {
    const { hostRestarts: restarts } = assignment;
    try {
      const first = await raceInScope<{ result: T } | null>(
        async () => ({ result: await step() }),
        async () => {
          await condition(() => assignment.evicted || assignment.hostRestarts !== restarts);
          return null;
        },
      );
      if (first) return first.result;
    } catch (error) {
      noteLastEvent(task, error);
      // The host's restart signal arrived together with the failure.
      if (isHostGone(error) && assignment.hostRestarts !== restarts && !assignment.evicted) continue;
      if (failureType(error) === 'HostDetached') assignment.expectedBackAt = Date.now() + DETACHED_MS;
      throw error;
    }
    if (assignment.evicted) throw failure('HostLost', 'Host released the task; it continues on another host');
  }
}

/**
 * The same for activities of teardown, which only the host with the folder can run: they wait a while for a lost
 * host, and as long as its lease lasts in the database, since it is only cut off then.
 * @throws the activity's error; at once when the host has evicted the task
 */
export async function throughReturns<T>(task: Task, assignment: Placed, step: () => Promise<T>): Promise<T> {
  let goneAt: number | null = null;
  for (;;) {
    const { hostRestarts: restarts } = assignment;
    try {
      return await throughRestarts(task, assignment, step);
    } catch (error) {
      if (!isHostGone(error) || assignment.evicted) throw error;
      task.enter('recovering');
      goneAt ??= Date.now();
      const patienceMs = Math.max(goneAt + HOST_RETURNS_MS, assignment.expectedBackAt) - Date.now();
      if (patienceMs <= 0) {
        if (!(await holdsHostLease(task, assignment.hostId))) throw error;
        goneAt = Date.now();
        continue;
      }
      // A frozen worker does not report its return: the activity waits for it in its queue.
      if (isSilent(error)) continue;
      const isBack = await condition(
        () => assignment.evicted || assignment.hostRestarts !== restarts,
        patienceMs,
      );
      if (!isBack && !(await holdsHostLease(task, assignment.hostId))) throw error;
      goneAt = null;
    }
  }
}

/** Whether no worker took the activity, or the one that took it went silent. */
function isSilent(error: unknown): boolean {
  if (!(error instanceof ActivityFailure) || !(error.cause instanceof TimeoutFailure)) return false;
  const { timeoutType } = error.cause;
  return timeoutType === 'SCHEDULE_TO_START' || timeoutType === 'HEARTBEAT';
}

/** A silent host's last heartbeat has its newest event id. */
function noteLastEvent(task: Task, error: unknown): void {
  if (!(error instanceof ActivityFailure) || !(error.cause instanceof TimeoutFailure)) return;
  const details = mustRead(error.cause.lastHeartbeatDetails) as { lastEventId?: unknown } | undefined;
  const id = details?.lastEventId;
  if (typeof id === 'number') task.state.lastEventId = Math.max(task.state.lastEventId, id);
}
