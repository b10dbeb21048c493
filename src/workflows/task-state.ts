import type * as contract from '../contract/index.js';
import type { Kept, Moved } from '../contract/activities.js';
import type { CarriedOutbox } from './outbox.js';
import type { CarriedPermissions } from './permission-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';
import type { Refusal, Assignment } from './assignment.js';
import type { CarriedEnding } from './ending.js';
import type { CarriedHookRequests } from './pending-hook-requests.js';

/** What of its result a task has so far. */
export type PartialResult = Pick<
  contract.CodexTaskResult,
  'finalMessage' | 'finalMessageTruncated' | 'snapshotId' | 'capturedSeedId'
>;

/**
 * Everything that a task takes with it into the next run of its workflow, as plain JSON. Timers and activities
 * are not in it: the next run begins them again, and the host does not notice.
 */
export interface CarriedTask {
  /** Of this record; one that a worker does not know is left to a worker that does. */
  version: number;
  /** Id of the run that carries it over. */
  from: string;
  /** When its first run began, in milliseconds since the epoch: `limits.totalMs` counts from here. */
  startedAtMs: number;
  /** Since when it waits for a credential. */
  waitsSinceMs: number | null;
  /** Null: it has no host. */
  assignment: Assignment | null;
  /** Of the assignment that it has or looks for. */
  assignmentId: string;
  refusals: Refusal[];
  vain: number;
  phase: contract.TaskState;
  status: contract.TaskStatus;
  result: PartialResult;
  searchAttributes: boolean | string[];
  /** Values of the search attributes, as they were last set. */
  shown: Record<string, string | null>;
  hostRestarts: number;
  expectedBackAt: number;
  /** Its host has let it go. */
  evicted: boolean;
  /** Codex was launched at its present place. */
  codexStarted: boolean;
  lastEventId: number;
  moved: Moved | null;
  /** The newest report. */
  newest: { assignmentId: string; revision: number };
  activity: contract.SessionReport['activity'];
  closing: boolean;
  hookRequests: CarriedHookRequests;
  /** The place of `beforeExecute` was reached. */
  reachedBeforeExecute: boolean;
  /** `onResumeRefresh` has not answered yet. */
  refreshing: boolean;
  /** How the task ended whose last hooks are being called; null: it goes on. */
  ending: CarriedEnding | null;
  /** `onSeedSaved` has answered. */
  seedTold: boolean;
  /** The input as it was judged; what only a host needs of a large one is in the database. */
  spec: TaskSpec;
  keptSpec: Kept | null;
  /** The input as it was given, for `onResumeRefresh`. */
  keptInput: Kept | null;
  outbox: CarriedOutbox;
  permissions: CarriedPermissions;
}

/** To be raised when a run could not read what one of an earlier version hands over. */
export const CARRIED_VERSION = 1;
