import {
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import type { CodexTaskInput } from '../contract/index.js';
import { nextRun } from './make-room.js';
import type { Task } from './task.js';

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
  await condition(() => task.state.closing || shouldContinue());
  if (!task.state.closing) throw new ContinueInNextRun();
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

/** If cancellation arrived while continuing as new, fail with it: the next run would never see it. */
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
