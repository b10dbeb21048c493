import type { SessionEnd } from '../contract/activities.js';
import { throughRestarts } from './restarts.js';
import { failureType } from './settle.js';
import { releaseLimited } from './release.js';
import type { HostSteps } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import type { Stay } from './assignment.js';

/**
 * Lets go of a credential that is out of quota. The task keeps its place and its folder on the host: that
 * survives a worker's death as the folder of a running task does, and its streams go on.
 */
export async function park(
  task: Task,
  stay: Stay,
  host: HostSteps,
  { turnId, resetsAt, limit }: Extract<SessionEnd['end'], { kind: 'limited' }>,
): Promise<void> {
  const { ref, desk, status } = task;
  // They went with their turn.
  for (const requestId of [...desk.open.keys()]) desk.settle({ requestId, reason: 'turn-ended' });
  status.parkedUntil = resetsAt;
  task.enter('parked');
  await throughRestarts(task, () => host.parkTask({ ref, lease: stay.place.lease, turnId, until: resetsAt }));
  const { lease } = stay.place;
  // A host that was away meanwhile does not change what this is.
  task.enter('parked');
  if (lease) await releaseLimited(task, lease, resetsAt, limit);
  stay.place = { ...stay.place, lease: null };
  stay.at = 'parked';
  status.seedId = null;
}

/** Waits until there is quota: this account's again, or another's of its pool. False: the task was closed before. */
export async function unpark(task: Task, stay: Stay, host: HostSteps): Promise<boolean> {
  const { ref, status } = task;
  for (;;) {
    const lease = await waitForCredential(task);
    if (lease === 'closed') return false;
    stay.place = { ...stay.place, lease };
    status.seedId = lease?.seedId ?? null;
    task.enter('starting');
    try {
      await throughRestarts(task, () => host.unparkTask({ ref, lease }));
      stay.at = 'ready';
      return true;
    } catch (error) {
      // It ran out while the host was away; another has the seed now.
      if (failureType(error) !== 'LeaseRefused') throw error;
      stay.place = { ...stay.place, lease: null };
    }
  }
}
