import type { LeaseRef } from '../contract/activities.js';
import type { Assignment } from './assignment.js';

type OfAssignment = Pick<Assignment, 'lease'>;

/** The task's host has taken its seed again, after an outage. */
export function noteEpoch(assignment: OfAssignment, leaseEpoch: number): void {
  const { lease } = assignment;
  if (lease && leaseEpoch > lease.leaseEpoch) assignment.lease = { ...lease, leaseEpoch };
}

/** Another worker took the task up on its host, and has its lease with another epoch. */
export function noteLease(assignment: OfAssignment, lease: LeaseRef): void {
  if (isSame(assignment.lease, lease)) noteEpoch(assignment, lease.leaseEpoch);
}

/** A lease of the task with the newest epoch that is known of it. */
export function newestOf({ lease: told }: OfAssignment, lease: LeaseRef): LeaseRef {
  return told && isSame(told, lease) && told.leaseEpoch > lease.leaseEpoch ? told : lease;
}

const isSame = (one: LeaseRef | null, other: LeaseRef): boolean =>
  one?.seedId === other.seedId && one.holder === other.holder;
