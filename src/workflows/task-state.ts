import type * as contract from '../contract/index.js';
import type { Kept, Moved } from '../contract/activities.js';
import type { OutboxState } from './outbox.js';
import type { PermissionsState } from './permission-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';
import type { Assignment, Refusal } from './assignment.js';
import type { CarriedEnding } from './ending.js';
import type { HookRequestsState } from './pending-hook-requests.js';

/** What of its result a task has so far. */
export type PartialResult = Pick<
  contract.CodexTaskResult,
  'finalMessage' | 'finalMessageTruncated' | 'snapshotId' | 'capturedSeedId'
>;

/**
 * All that a task knows of itself and takes into the next run of its workflow, as plain JSON. Timers and activities
 * are not in it: the next run begins them again, and the host does not notice.
 */
export interface TaskState {
  /** When its first run began, in milliseconds since the epoch: `limits.totalMs` counts from here. */
  readonly startedAtMs: number;
  /** Where its life stands, but for open requests, which `status.state` shows too. */
  phase: contract.TaskState;
  /** Written by `Task.update` and what uses it, nothing else. */
  status: Readonly<contract.TaskStatus>;
  result: PartialResult;
  /** Those that the namespace has; `true`: all. */
  searchAttributes: boolean | string[];
  /** Values of the search attributes, as they were last set. */
  readonly publishedAttributes: Record<string, string | null>;
  /** The one that it has or looks for, or the last one, which has ended. */
  assignment: Assignment;
  /** What the host of `assignment` is told of the one before; null: it is the first. */
  previousHost: Moved | null;
  /** The newest event id that a host told of. */
  lastEventId: number;
  /** Since when it waits for a credential, in milliseconds since the epoch. */
  waitingForCredentialSinceMs: number | null;
  /** Hosts that could not do a step of this task before codex ran. */
  refusals: Refusal[];
  /** Assignments in a row in which codex did not come to run. */
  triesInVain: number;
  /** A close came. */
  closing: boolean;
  /** Its end has begun: nothing is delivered any more. */
  isEnding: boolean;
  /** How it ended, while its last hooks are called; null: it goes on. */
  ending: CarriedEnding | null;
  /** `onResumeRefresh` is to be asked what the task begins with. */
  refreshing: boolean;
  /** The place of `beforeExecute` was reached. */
  beforeExecuteDone: boolean;
  /** `onSeedSaved` has answered. */
  seedSavedDone: boolean;
  /** Fields of the input that stand empty in `spec`, in the database. */
  keptSpec: Kept | null;
  /** The input as it was given, where a run goes on with which it did not begin. */
  keptInput: Kept | null;
  /** What is still to be delivered to the host. */
  readonly outbox: OutboxState;
  /** What the host asks hooks. */
  readonly hookRequests: HookRequestsState;
  /** Requests that wait for a decision. */
  readonly permissions: PermissionsState;
}

/** What one run hands to the next. A run by a retry policy looks in it for `keptInput`, whatever its version. */
export interface CarriedTask extends TaskState {
  /** Of this record; one that a worker does not know is left to a worker that does. */
  readonly version: number;
  /** Id of the run that carries it over. */
  readonly from: string;
  /** The input as it was judged; what only a host needs of a large one is in the database. */
  readonly spec: TaskSpec;
}

/** To be raised when a run could not read what one of an earlier version hands over. */
export const CARRIED_VERSION = 2;
