import type { LeaseRef } from '../contract/activities.js';
import type { Task } from './task.js';

type OfTask = Pick<Task, 'assignment'>;

/** The task's host has taken its seed again, after an outage. */
export function noteEpoch({ assignment }: OfTask, leaseEpoch: number): void {
  const lease = assignment?.place.lease;
  if (lease && leaseEpoch > lease.leaseEpoch)
    assignment.place = { ...assignment.place, lease: { ...lease, leaseEpoch } };
}

/** Another worker took the task up on its host, and has its lease with another epoch. */
export function noteLease(task: OfTask, lease: LeaseRef): void {
  if (isSame(task.assignment?.place.lease, lease)) noteEpoch(task, lease.leaseEpoch);
}

/** A lease of the task with the newest epoch that is known of it. */
export function newestOf({ assignment }: OfTask, lease: LeaseRef): LeaseRef {
  const told = assignment?.place.lease;
  return told && isSame(told, lease) && told.leaseEpoch > lease.leaseEpoch ? told : lease;
}

const isSame = (one: LeaseRef | null | undefined, other: LeaseRef): boolean =>
  one?.seedId === other.seedId && one.holder === other.holder;
