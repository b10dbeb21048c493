import type { LeaseRef } from '../contract/activities.js';
import type { Task } from './task.js';

type OfTask = Pick<Task, 'stay'>;

/** The task's host has taken its seed again, after an outage. */
export function noteEpoch({ stay }: OfTask, leaseEpoch: number): void {
  const lease = stay?.place.lease;
  if (lease && leaseEpoch > lease.leaseEpoch) stay.place = { ...stay.place, lease: { ...lease, leaseEpoch } };
}

/** Another worker took the task up on its host, and has its lease with another epoch. */
export function noteLease(task: OfTask, lease: LeaseRef): void {
  if (isSame(task.stay?.place.lease, lease)) noteEpoch(task, lease.leaseEpoch);
}

/** A lease of the task with the newest epoch that is known of it. */
export function newestOf({ stay }: OfTask, lease: LeaseRef): LeaseRef {
  const told = stay?.place.lease;
  return told && isSame(told, lease) && told.leaseEpoch > lease.leaseEpoch ? told : lease;
}

const isSame = (one: LeaseRef | null | undefined, other: LeaseRef): boolean =>
  one?.seedId === other.seedId && one.holder === other.holder;
