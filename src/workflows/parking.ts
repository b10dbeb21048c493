import type { SessionEnd } from '../contract/activities.js';
import type { Outcome } from '../contract/index.js';
import { throughRestarts } from './restarts.js';
import { failure, failureType } from './failures.js';
import { releaseOutOfQuota } from './release.js';
import type { HostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import type { Placed } from './assignment.js';

/**
 * Runs one session after another, each with a credential that has quota; between them the task is parked on its host.
 * @throws ApplicationFailure where a session fails
 */
export async function throughUsageLimits(
  task: Task,
  assignment: Placed,
  host: HostProxy,
  session: () => Promise<SessionEnd['end']>,
): Promise<Outcome> {
  for (;;) {
    if (assignment.stage === 'parked' && !(await unpark(task, assignment, host))) return 'closed';
    const end = await unlessRefused(assignment, session);
    if (end === 'refused') continue;
    if (end.kind === 'failed') throw failure(end.code, end.message, { details: end.details });
    if (end.kind !== 'limited') return end.kind;
    if (task.state.closing) return 'closed';
    await park(task, assignment, host, end);
  }
}

/** `refused`: the seed of a parked task went to another before Codex ran on it. The task stays parked. */
async function unlessRefused<T>(assignment: Placed, session: () => Promise<T>): Promise<T | 'refused'> {
  try {
    return await session();
  } catch (error) {
    if (assignment.stage !== 'ready' || failureType(error) !== 'LeaseRefused') throw error;
    assignment.lease = null;
    assignment.stage = 'parked';
    return 'refused';
  }
}

/**
 * Releases a credential that is out of quota. The task keeps its place, its folder and its streams on the host, even
 * over the death of a worker.
 */
async function park(
  task: Task,
  assignment: Placed,
  host: HostProxy,
  { turnId, resetsAt, limit }: Extract<SessionEnd['end'], { kind: 'limited' }>,
): Promise<void> {
  const { ref, permissions } = task;
  // They ended with their turn.
  for (const requestId of [...permissions.open.keys()])
    permissions.settle({ requestId, reason: 'turn-ended' });
  task.update({ parkedUntil: resetsAt });
  task.enter('parked');
  await throughRestarts(task, assignment, () =>
    host.parkTask({ ref, lease: assignment.lease, turnId, until: resetsAt }),
  );
  const { lease } = assignment;
  // A host restart during the activity may have changed the phase; set it again.
  task.enter('parked');
  if (lease) await releaseOutOfQuota(task, lease, resetsAt, limit);
  assignment.lease = null;
  assignment.stage = 'parked';
  task.update({ seedId: null });
}

/** Waits until this account, or another of its pool, has quota. False: the task was closed before. */
async function unpark(task: Task, assignment: Placed, host: HostProxy): Promise<boolean> {
  const { ref } = task;
  for (;;) {
    const lease = await waitForCredential(task);
    if (lease === 'closed') return false;
    assignment.lease = lease;
    task.update({ seedId: lease?.seedId ?? null });
    task.enter('starting');
    try {
      await throughRestarts(task, assignment, () => host.unparkTask({ ref, lease }));
      assignment.stage = 'ready';
      return true;
    } catch (error) {
      // The lease ran out while the host was away, and another holder has the seed.
      if (failureType(error) !== 'LeaseRefused') throw error;
      assignment.lease = null;
    }
  }
}
