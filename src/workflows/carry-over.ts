import { CancellationScope, CancelledFailure, continueAsNew, workflowInfo } from '@temporalio/workflow';
import type * as contract from '../contract.js';
import type { CarriedErrands } from './errands.js';
import type { CarriedOutbox } from './outbox.js';
import type { CarriedDesk } from './permission-desk.js';
import type { Stay } from './stay.js';
import type { Task } from './task.js';

/**
 * Everything that a task takes with it into the next run of its workflow, as plain JSON. Timers and activities
 * are not in it: the next run begins them anew, and the host does not notice.
 */
export interface CarriedTask {
  /** When its first run began, in milliseconds since the epoch: `limits.totalMs` counts from here. */
  startedAtMs: number;
  /** Since when it waits for a credential. */
  waitsSinceMs: number | null;
  /** Null: it has no host. */
  stay: Stay | null;
  /** Of the stay that it has or looks for. */
  stayId: string;
  phase: contract.TaskState;
  status: contract.TaskStatus;
  result: Task['result'];
  searchAttributes: boolean;
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
  /** Revision of the newest report. */
  revision: number;
  closing: boolean;
  errands: CarriedErrands;
  /** The place of `beforeExecute` was reached. */
  executed: boolean;
  refreshed: Task['refreshed'];
  outbox: CarriedOutbox;
  desk: CarriedDesk;
}

/** Temporal refuses an input over 2 MiB; the task's own input goes along. */
const MAX_CARRIED_BYTES = 1024 * 1024;

/** Thrown where a task can go on in the next run of its workflow; nothing of it is torn down then. */
export class ContinueInNextRun extends Error {
  override readonly name = 'ContinueInNextRun';
}

/**
 * Whether this run's history is so long that the task should go on in another one now, as the server advises: no
 * caller has a say in that. Not while its host is gone: the next run would begin that wait anew.
 */
export function shouldContinue(task: Task): boolean {
  // A hook that is being asked would be asked again.
  if (!workflowInfo().continueAsNewSuggested || task.status.state === 'recovering' || task.errands.isBusy)
    return false;
  // Many long messages that no host has yet; they go down with the session.
  return JSON.stringify(task.carry()).length <= MAX_CARRIED_BYTES;
}

/** @throws ContinueInNextRun where `shouldContinue` */
export function continueIfLong(task: Task): void {
  if (shouldContinue(task)) throw new ContinueInNextRun();
}

export const isContinuing = (error: unknown): boolean => error instanceof ContinueInNextRun;

/** What ends a run that was to be continued: a cancellation that came meanwhile, for it would not reach the next. */
export function unlessCancelled(error: unknown): unknown {
  const isCancelled = isContinuing(error) && CancellationScope.current().consideredCancelled;
  return isCancelled ? new CancelledFailure('Workflow cancelled') : error;
}

/** Ends this run and goes on in the next one. What came until now goes along; Temporal keeps what comes later. */
export const continueTask = (input: unknown, task: Task): Promise<never> =>
  continueAsNew(input, task.carry());
