import type { LeaseRef } from '../contract/activities.js';

/** A task on a host: plain JSON, so that it can be carried into the next run. */
export interface Assignment {
  assignmentId: string;
  place: Placement;
  /** `new`: nothing is prepared; `parked`: no codex, no credential; `ready`: codex is to be launched (again). */
  stage: 'new' | 'parked' | 'ready' | 'live';
  /** A run before this one began it: its host may have it running already, or have ended it. */
  isAdopted?: true;
  /** Its host is gone, and it is to be found out where the task goes on. */
  isLost?: true;
  /** Why its host, which lives, is to let it go. */
  unfit?: string;
}

/** Where a task runs and with which credential. */
export interface Placement {
  readonly hostId: string;
  /** Null: no seed, so nothing to watch, save or release. */
  readonly lease: LeaseRef | null;
  /** How long a lease lives there without renewal, milliseconds. */
  readonly ttlMs?: number;
}

/** A host that could not do a step of this task. */
export interface Refusal {
  hostId: string;
  reason: string;
}
