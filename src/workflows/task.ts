import type { Kept, Moved, SessionEnd, TaskRef } from '../contract/activities.js';
import type * as contract from '../contract/index.js';
import { type Outbox } from './outbox.js';
import { type PermissionRequests } from './permission-requests.js';
import type { TaskSpec } from '../contract/task-spec.js';
import type { Assignment, Refusal } from './assignment.js';
import { type Ending } from './ending.js';
import type { StatusChange } from './status-budget.js';
import type { CarriedTask, PartialResult } from './task-state.js';
import { type PendingHookRequests } from './pending-hook-requests.js';

/** Everything the workflow knows of its task. Signals write into it, the steps read it. */
export interface Task {
  readonly spec: TaskSpec;
  /** Names the assignment that it has or looks for. */
  ref: TaskRef;
  readonly permissions: PermissionRequests;
  /** What the host asks hooks. */
  readonly hookRequests: PendingHookRequests;
  /** What is still to be delivered to the host. */
  readonly outbox: Outbox;
  /** Written by `update`, `warn`, `enter` and `report` alone. */
  readonly status: Readonly<contract.TaskStatus>;
  result: PartialResult;
  /** Those that the namespace has; `true`: all. */
  searchAttributes: boolean | string[];
  closing: boolean;
  /** Its end has begun: nothing is delivered any more. */
  isOver: boolean;
  /** `limits.totalMs` is over. */
  overdue: boolean;
  /** The place of `beforeExecute` was reached. */
  reachedBeforeExecute: boolean;
  /** `onResumeRefresh` is to be asked what the task begins with. */
  refreshing: boolean;
  /** How it ended, while its last hooks are called. */
  ending: Ending | null;
  /** `onSeedSaved` has answered. */
  seedTold: boolean;
  /** Fields of the input that stand empty in `spec`, in the database. */
  keptSpec: Kept | null;
  /** The input as it was given, where a run goes on with which it did not begin. */
  keptInput: Kept | null;
  /** How often its host said that it took the task up again. */
  hostRestarts: number;
  /** Until when the host said that it may be away, in milliseconds since the epoch. */
  expectedBackAt: number;
  /** How often a worker said that a seed is free for it. */
  seedAvailableCount: number;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  waitsSinceMs: number | null;
  /** Null: it has no host. */
  assignment: Assignment | null;
  /** Steps that this run of the workflow began. */
  activitiesBegun: number;
  /** Hosts that could not do a step of this task before codex ran. */
  refusals: Refusal[];
  /** Stays in a row on which codex did not come to run. */
  vain: number;
  /** All of it, for the next run. */
  carry(): CarriedTask;
  /** No assignment of this run has begun: one that a run before it left may go on. */
  mayAdopt: boolean;
  /** Its host has let it go. */
  evicted: boolean;
  /** Codex was launched at its present place. */
  codexStarted: boolean;
  /** Takes the word of a host that may not take it, while it claims one. */
  claimRefused: ((refusal: contract.ClaimRefused) => void) | null;
  /** When a host that seemed gone was last asked once more, milliseconds since 1970. */
  lastRetryAt: number;
  /** What the session does, by the last word of its host. */
  activity: contract.SessionReport['activity'];
  /** The newest event id that a host told of. */
  lastEventId: number;
  /** What the present host is told of the one before; null: it is the first. */
  moved: Moved | null;
  /** Moves on; what the query `state`, the search attributes and the details show follows. */
  enter(state: contract.TaskState): void;
  /** Takes over what the host reported. */
  report(report: contract.SessionReport): void;
  /** Changes `status`; people see it at the next `show`. */
  update(change: StatusChange): void;
  /** Shows what `status` has now. */
  show(): void;
  /** Adds to `status.warnings`, of which the newest are kept, each with a limit. */
  warn(text: string): void;
  /** As `warn`, for what a host may say again: it counts once. */
  warnOnce(texts: readonly string[]): void;
  /** Says what the task waits for; returns the end of that. */
  waitFor(what: string): () => void;
}

/** Copies the result from the host's final report. */
export function takeEnd(task: Task, { report, finalMessage, finalMessageTruncated }: SessionEnd): void {
  task.report(report);
  task.result.finalMessage = finalMessage;
  if (finalMessageTruncated) task.result.finalMessageTruncated = true;
}
