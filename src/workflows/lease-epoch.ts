import type { LeaseRef } from '../contract/activities.js';
import type { Assignment } from './assignment.js';

type OfAssignment = Pick<Assignment, 'lease'>;

/** Records that the task's host has acquired its seed again after an outage. */
export function noteEpoch(assignment: OfAssignment, leaseEpoch: number): void {
  const { lease } = assignment;
  if (lease && leaseEpoch > lease.leaseEpoch) assignment.lease = { ...lease, leaseEpoch };
}

/** Records that another worker adopted the task on its host, with another epoch of its lease. */
export function noteLeaseTaken(assignment: OfAssignment, lease: LeaseRef): void {
  if (isSame(assignment.lease, lease)) noteEpoch(assignment, lease.leaseEpoch);
}

/** The task's lease with its newest known epoch. */
export function newestOf({ lease: told }: OfAssignment, lease: LeaseRef): LeaseRef {
  return told && isSame(told, lease) && told.leaseEpoch > lease.leaseEpoch ? told : lease;
}

const isSame = (one: LeaseRef | null, other: LeaseRef): boolean =>
  one?.seedId === other.seedId && one.holder === other.holder;
