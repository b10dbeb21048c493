import { uuid4 } from '@temporalio/workflow';
import type { Claimed, Held, LeaseRef } from '../contract/activities.js';
import { ANY_WAIT, CLAIM_WAIT } from './activity-proxies.js';
import { type Assignment, newAssignment, type Placed } from './assignment.js';
import { claim, orGiveBack } from './claim.js';
import { AssignmentGoesOn } from './make-way.js';
import { release } from './release.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';

/**
 * Acquires a credential and claims a host for the assignment that the task looks for, or for a new one when the last
 * has ended. Null: the task was closed before that.
 * @throws as `waitForCredential`
 */
export async function assign(task: Task): Promise<Placed | null> {
  const { state, run } = task;
  if (state.assignment.stage === 'ended') state.assignment = newAssignment(uuid4());
  try {
    return await acquireAndClaim(task, state.assignment);
  } catch (error) {
    if (!(error instanceof AssignmentGoesOn)) throw error;
    return adopt(task, error.held);
  } finally {
    run.mayAdopt = false;
  }
}

/** Releases the lease while the task waits for a host. */
async function acquireAndClaim(task: Task, assignment: Assignment): Promise<Placed | null> {
  const lease = await waitForCredential(task);
  if (lease === 'closed') return null;
  try {
    task.enter('waiting-for-host');
    const soon = await claim(task, CLAIM_WAIT);
    if (soon === 'closed') {
      await release(task, lease);
      return null;
    }
    if (soon !== 'late') return place(task, assignment, soon, lease);
  } catch (error) {
    await release(task, lease);
    throw error;
  }
  await release(task, lease);
  const later = await claim(task, ANY_WAIT, true);
  if (later === 'late' || later === 'closed') return null;
  return orGiveBack(task, later, task.ref, async () => {
    const other = await waitForCredential(task);
    return other === 'closed' ? null : place(task, assignment, later, other);
  });
}

/** Records where the assignment is from now on. */
export function place(task: Task, assignment: Assignment, host: Claimed, lease: LeaseRef | null): Placed {
  task.update({ host: host.hostId, seedId: lease?.seedId ?? null });
  return Object.assign(assignment, host, { lease });
}

/** Adopts the session that an earlier run of the same chain left on its host. */
function adopt(task: Task, { by, hostId, generation, lease, ttlMs }: Held): Placed {
  const { state } = task;
  state.assignment = { ...newAssignment(by.assignmentId), codexStarted: true, isAdopted: true };
  state.previousHost = generation > 0 ? { from: hostId, generation, lastEventId: 0, requests: [] } : null;
  return place(task, state.assignment, { hostId, ...(ttlMs !== undefined && { ttlMs }) }, lease);
}
