import type * as contract from '../contract/index.js';
import type { Kept, PreviousHost, RulesInForce } from '../contract/activities.js';
import type { OutboxState } from './outbox.js';
import type { PermissionsState } from './permission-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';
import type { Assignment, HostRefusal } from './assignment.js';
import type { CarriedEnding } from './ending.js';
import type { HookRequestsState } from './pending-hook-requests.js';

/** The part of its result that a task has so far. */
export type PartialResult = Pick<
  contract.CodexTaskResult,
  'finalMessage' | 'finalMessageTruncated' | 'output' | 'outputOmitted' | 'snapshotId' | 'capturedSeedId'
>;

/**
 * The state of a task that it carries into the next run of its workflow, as plain JSON. Timers and activities are not
 * in it: the next run starts them again, unnoticed by the host.
 */
export interface WorkflowState {
  /** When its first run began, in milliseconds since the epoch: `limits.totalMs` counts from here. */
  readonly startedAtMs: number;
  /** Phase of the task without open requests, which `status.state` shows too. */
  phase: contract.TaskState;
  /** Written by `Task.update` and its callers only. */
  status: Readonly<contract.TaskStatus>;
  result: PartialResult;
  /** Search attributes that the namespace has; `true`: all. */
  searchAttributes: boolean | string[];
  /** Values of the search attributes as last set. */
  readonly publishedAttributes: Record<string, string | null>;
  /** The assignment that it has or looks for, or the last one, which has ended. */
  assignment: Assignment;
  /** What the host of `assignment` is told of the one before; null: it is the first. */
  previousHost: PreviousHost | null;
  /** The newest event id that a host reported. */
  lastEventId: number;
  /** Since when it waits for a credential, in milliseconds since the epoch. */
  waitingForCredentialSinceMs: number | null;
  /** Hosts that could not run an activity of this task before Codex ran. */
  refusals: HostRefusal[];
  /** Consecutive assignments in which Codex did not run. */
  triesInVain: number;
  /** A close has arrived. */
  closing: boolean;
  /** Its end has begun: nothing is delivered any more. */
  isEnding: boolean;
  /** How it ended, while its last hooks are called; null: it runs. */
  ending: CarriedEnding | null;
  /** `onResumeRefresh` still has to be asked. */
  refreshing: boolean;
  /** The task has reached the place of `beforeExecute`. */
  beforeExecuteDone: boolean;
  /** `onSeedSaved` has answered. */
  seedSavedDone: boolean;
  /** Fields of the input that are empty in `spec` and stored in the database. */
  keptSpec: Kept | null;
  /** The input as it was given, where a run continues with another one. */
  keptInput: Kept | null;
  /** Rules that were given while the task runs. */
  rules: RulesInForce;
  /** Items still to be delivered to the host. */
  readonly outbox: OutboxState;
  /** Hook requests of the host. */
  readonly hookRequests: HookRequestsState;
  /** Requests that wait for a decision. */
  readonly permissions: PermissionsState;
}

/**
 * State that one run hands to the next. A run by a retry policy looks in it for `keptInput`, whatever its version.
 */
export interface CarriedTask extends WorkflowState {
  /** Version of this record; a worker leaves an unknown one to a worker that knows it. */
  readonly version: number;
  /** Id of the run that carries it over. */
  readonly from: string;
  /** The validated input; fields of a large one that only a host needs are in the database. */
  readonly spec: TaskSpec;
}

/** Has to be raised when a run could not read the state of an earlier version. */
export const CARRIED_VERSION = 2;
