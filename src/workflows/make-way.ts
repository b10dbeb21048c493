import { ActivityFailure, isCancellation } from '@temporalio/workflow';
import type { Held } from '../contract/activities.js';
import { untilClosed } from './continue-as-new.js';
import { raceInScope } from './race.js';
import { hostProxy, sharedProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import { evict } from './watch-host.js';
import { UnfitHost } from './unfit-host.js';

/** Thrown where the first assignment of a run finds one that it can continue as it is. */
export class AssignmentGoesOn extends Error {
  override readonly name = 'AssignmentGoesOn';
  constructor(readonly held: Held) {
    super();
  }
}

/**
 * Ends another assignment of the task before a new one begins: its host ends it at once; a silent host is asked at
 * its next renewal and fenced once its right is over. `closed`: the task was closed meanwhile.
 */
export async function makeWay(task: Task, held: Held): Promise<'clear' | 'closed'> {
  const done = task.waitFor(`waiting for host ${held.hostId} to end an earlier assignment of the task`);
  try {
    const outcome = await raceInScope<'clear' | 'closed'>(
      () => endHeld(task, held),
      () => untilClosed(task),
    );
    if (outcome === 'clear') noteHeld(task, held);
    return outcome;
  } finally {
    done();
  }
}

async function endHeld(task: Task, { by: ref, hostId }: Held): Promise<'clear'> {
  try {
    await hostProxy(task, { hostId }).yieldAssignment(ref);
    return 'clear';
  } catch (error) {
    // Reports of that host about an earlier assignment do not fail this one.
    if (isCancellation(error) || !(error instanceof ActivityFailure || error instanceof UnfitHost))
      throw error;
  }
  for (;;) {
    if ((await evict(task, hostId, ref)) === 'left') return 'clear';
    if ((await sharedProxy(task).fenceHost({ hostId, ref })) === 'fenced') return 'clear';
  }
}

/** Codex's work in an assignment of the same chain of runs belongs to the task's past. */
function noteHeld(task: Task, { by, hostId, generation }: Held): void {
  const { state } = task;
  const { previousHost: before, lastEventId } = state;
  if (by.runId !== task.ref.runId || (before && before.generation > generation)) return;
  const requests = before?.requests ?? [];
  state.previousHost = { from: hostId, generation: generation + 1, lastEventId, requests };
}
