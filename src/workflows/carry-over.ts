import {
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import type * as contract from '../contract.js';
import type { CodexTaskInput } from '../contract.js';
import type { Kept } from '../step-arguments.js';
import type { TaskSpec } from '../task-input.js';
import type { CarriedErrands } from './errands.js';
import { nextRun } from './make-room.js';
import type { CarriedOutbox } from './outbox.js';
import type { CarriedDesk } from './permission-desk.js';
import type { Stay } from './stay.js';
import type { Task } from './task.js';

/**
 * Everything that a task takes with it into the next run of its workflow, as plain JSON. Timers and activities
 * are not in it: the next run begins them anew, and the host does not notice.
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
  stay: Stay | null;
  /** Of the stay that it has or looks for. */
  stayId: string;
  refusals: Task['refusals'];
  vain: number;
  phase: contract.TaskState;
  status: contract.TaskStatus;
  result: Task['result'];
  searchAttributes: Task['searchAttributes'];
  /** Values of the search attributes, as they were last set. */
  shown: Record<string, string | null>;
  restarts: number;
  returnsBy: number;
  /** Its host has let it go. */
  left: boolean;
  /** Codex was launched at its present place. */
  launched: boolean;
  lastEventId: number;
  moved: Task['moved'];
  /** The newest report. */
  newest: { stayId: string; revision: number };
  activity: Task['activity'];
  closing: boolean;
  errands: CarriedErrands;
  /** The place of `beforeExecute` was reached. */
  executed: boolean;
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
  desk: CarriedDesk;
}

/** To be raised when a run could not read what one of an earlier version hands over. */
export const CARRIED_VERSION = 1;

/** An end as plain JSON: an outcome, or the failure that the task ends with. */
export type CarriedEnding = { outcome: contract.Outcome } | { type: string; message: string };

/** Thrown where a task can go on in the next run of its workflow; nothing of it is torn down then. */
export class ContinueInNextRun extends Error {
  override readonly name = 'ContinueInNextRun';
}

/**
 * Whether this run's history is so long that the task should go on in another one now, as the server advises: no
 * caller has a say in that. Whatever is waited for is waited for in the next run, and a hook is asked again there.
 */
export const shouldContinue = (): boolean => workflowInfo().continueAsNewSuggested;

/** @throws ContinueInNextRun where `shouldContinue` */
export function continueIfLong(): void {
  if (shouldContinue()) throw new ContinueInNextRun();
}

/** Waits for a close, or until the task is to go on in the next run. @throws ContinueInNextRun */
export async function untilClosed(task: Task): Promise<'closed'> {
  await condition(() => task.closing || shouldContinue());
  if (!task.closing) throw new ContinueInNextRun();
  return 'closed';
}

/** Waits until the task is to go on in the next run. @throws ContinueInNextRun */
export async function untilContinued(): Promise<never> {
  await condition(shouldContinue);
  throw new ContinueInNextRun();
}

export const isContinuing = (error: unknown): boolean => error instanceof ContinueInNextRun;

/** What ends a wait that is no fault of what was waited for. */
export const isInterruption = (error: unknown): boolean => isContinuing(error) || isCancellation(error);

/** What ends a run that was to be continued: a cancellation that came meanwhile, for it would not reach the next. */
export function unlessCancelled(error: unknown): unknown {
  const isCancelled = isContinuing(error) && CancellationScope.current().consideredCancelled;
  return isCancelled ? new CancelledFailure('Workflow cancelled') : error;
}

/**
 * Ends this run and goes on in the next one. What came until now goes along; Temporal keeps what comes later.
 * @throws what stored what is too large to go along failed with
 */
export async function continueTask(input: CodexTaskInput | undefined, task: Task): Promise<never> {
  return continueAsNew(...(await nextRun(task, input)));
}
