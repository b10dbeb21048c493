import type { LeaseRef } from '../contract/activities.js';
import type { SessionReport } from '../contract/index.js';

/**
 * One attempt to run the task on a host, from the search for a credential and a host to its end there. Its facts live
 * as long as it does. Plain JSON.
 */
export interface Assignment {
  readonly assignmentId: string;
  /** Null: it looks for a host. */
  hostId: string | null;
  /** How long a lease lasts there without renewal, in milliseconds. */
  ttlMs?: number;
  /** Null: the task has no seed to watch, save or release. */
  lease: LeaseRef | null;
  /**
   * `new`: nothing is prepared; `parked`: no Codex and no credential; `ready`: Codex is to be launched (again);
   * `ended`: torn down on its host, or to be ended before the next assignment.
   */
  stage: 'new' | 'parked' | 'ready' | 'live' | 'ended';
  codexStarted: boolean;
  /** Activity of the session, as the host last reported it. */
  activity: SessionReport['activity'];
  /** Revision of the newest report; -1: none has arrived. */
  lastRevision: number;
  /** How often the host reported that it adopted the task. */
  hostRestarts: number;
  /** Until when the host said that it may be away, in milliseconds since the epoch. */
  expectedBackAt: number;
  /** When the host, which seemed lost, was last asked once more, in milliseconds since the epoch. */
  lastRetryAt: number;
  /** The host has evicted the task. */
  evicted: boolean;
  /** An earlier run began it: its host may run it already, or have ended it. */
  isAdopted?: true;
  /** Its host is lost, and the workflow looks for the place where the task continues. */
  isLost?: true;
  /** Why its living host is to evict it. */
  unfit?: string;
}

/** An assignment that has its host. */
export type Placed = Assignment & { hostId: string };

export const isPlaced = (assignment: Assignment): assignment is Placed =>
  assignment.hostId !== null && assignment.stage !== 'ended';

/** One that looks for a credential and a host. */
export const newAssignment = (assignmentId: string): Assignment => ({
  assignmentId,
  hostId: null,
  lease: null,
  stage: 'new',
  codexStarted: false,
  activity: 'idle',
  lastRevision: -1,
  hostRestarts: 0,
  expectedBackAt: 0,
  lastRetryAt: 0,
  evicted: false,
});

/** A host that could not run an activity of this task. */
export interface HostRefusal {
  hostId: string;
  reason: string;
}
