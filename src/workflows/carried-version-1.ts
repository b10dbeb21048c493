import * as v from 'valibot';
import type { LeaseRef, PreviousHost } from '../contract/activities.js';
import type { SessionReport } from '../contract/index.js';
import * as is from '../input/checks.js';
import { nullable, shape, total, type Schema } from '../input/shapes.js';
import { type Assignment, newAssignment } from './assignment.js';
import { SCHEMAS } from './carried-fields.js';
import type { CarriedTask } from './task-state.js';

type Renamed =
  | 'publishedAttributes'
  | 'previousHost'
  | 'waitingForCredentialSinceMs'
  | 'triesInVain'
  | 'beforeExecuteDone'
  | 'seedSavedDone';

/** Carried state of a version 1 worker, which kept the facts of an assignment next to it. */
interface Version1 extends Omit<CarriedTask, Renamed | 'assignment' | 'isEnding'> {
  /** Null: it has no host. */
  assignment: Assignment1 | null;
  /** Facts of the assignment that it has or looks for. */
  assignmentId: string;
  codexStarted: boolean;
  activity: SessionReport['activity'];
  newest: { assignmentId: string; revision: number };
  hostRestarts: number;
  expectedBackAt: number;
  evicted: boolean;
  shown: Record<string, string | null>;
  moved: PreviousHost | null;
  waitsSinceMs: number | null;
  vain: number;
  reachedBeforeExecute: boolean;
  seedTold: boolean;
}

interface Assignment1 extends Pick<Assignment, 'assignmentId' | 'isAdopted' | 'isLost' | 'unfit'> {
  place: { hostId: string; lease: LeaseRef | null; ttlMs?: number };
  stage: Exclude<Assignment['stage'], 'ended'>;
}

/** Converts it to this version. */
function fromVersion1(past: Version1): CarriedTask {
  const { assignment, assignmentId, codexStarted, activity, newest, ...rest } = past;
  const { hostRestarts, expectedBackAt, evicted, ...others } = rest;
  const { shown, moved, waitsSinceMs, vain, reachedBeforeExecute, seedTold, ...same } = others;
  const lastRevision = newest.assignmentId === assignmentId ? newest.revision : -1;
  const next = { ...newAssignment(assignmentId), activity, lastRevision };
  return {
    ...same,
    publishedAttributes: shown,
    previousHost: moved,
    waitingForCredentialSinceMs: waitsSinceMs,
    triesInVain: vain,
    beforeExecuteDone: reachedBeforeExecute,
    seedSavedDone: seedTold,
    isEnding: same.ending !== null,
    assignment: assignment
      ? { ...next, ...withHost(assignment), codexStarted, hostRestarts, expectedBackAt, evicted }
      : next,
  };
}

function withHost({ place, ...rest }: Assignment1) {
  return { ...rest, ...place };
}

const { publishedAttributes, previousHost, waitingForCredentialSinceMs, ...schemas } = SCHEMAS;
const { triesInVain, beforeExecuteDone, seedSavedDone, isEnding: _isEnding, ...unchanged } = schemas;

const version1 = shape<Version1>({
  ...unchanged,
  assignment: nullable(is.object),
  assignmentId: is.text,
  codexStarted: is.boolean,
  activity: is.text,
  newest: is.object,
  hostRestarts: total,
  expectedBackAt: total,
  evicted: is.boolean,
  shown: publishedAttributes,
  moved: previousHost,
  waitsSinceMs: waitingForCredentialSinceMs,
  vain: triesInVain,
  reachedBeforeExecute: beforeExecuteDone,
  seedTold: seedSavedDone,
});

/** Validates a record of version 1 and converts it to this version. */
export const VERSION_1: Schema<CarriedTask> = v.pipe(version1, v.transform(fromVersion1));
