import type { LeaseRef } from '../contract/activities.js';
import type { SessionReport } from '../contract/index.js';

/**
 * One try to run the task on a host, from the search for a credential and a host to its end there. All that is known
 * of it begins and goes with it. Plain JSON.
 */
export interface Assignment {
  readonly assignmentId: string;
  /** Null: it looks for one. */
  hostId: string | null;
  /** How long a lease lives there without renewal, milliseconds. */
  ttlMs?: number;
  /** Null: no seed, so nothing to watch, save or release. */
  lease: LeaseRef | null;
  /**
   * `new`: nothing is prepared; `parked`: no codex, no credential; `ready`: codex is to be launched (again);
   * `ended`: its host has torn it down, or it is to be ended before the next one begins.
   */
  stage: 'new' | 'parked' | 'ready' | 'live' | 'ended';
  codexStarted: boolean;
  /** What the session does, by the last word of the host. */
  activity: SessionReport['activity'];
  /** Of the newest report; -1: none came. */
  lastRevision: number;
  /** How often the host said that it took the task up again. */
  hostRestarts: number;
  /** Until when the host said that it may be away, in milliseconds since the epoch. */
  expectedBackAt: number;
  /** When the host, which seemed gone, was last asked once more, in milliseconds since the epoch. */
  lastRetryAt: number;
  /** The host has let the task go. */
  evicted: boolean;
  /** A run before this one began it: its host may have it running already, or have ended it. */
  isAdopted?: true;
  /** Its host is gone, and it is to be found out where the task goes on. */
  isLost?: true;
  /** Why its host, which lives, is to let it go. */
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

/** A host that could not do a step of this task. */
export interface Refusal {
  hostId: string;
  reason: string;
}
