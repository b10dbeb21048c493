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

/** Thrown where a task can continue in the next run of its workflow, without teardown. */
export class ContinueInNextRun extends Error {
  override readonly name = 'ContinueInNextRun';
}

/**
 * Whether this run's history is so long that the task should continue as new, as the server advises; callers have no
 * say in that. The next run repeats each wait and asks each hook again.
 */
export const shouldContinue = (): boolean => workflowInfo().continueAsNewSuggested;

/** @throws ContinueInNextRun where `shouldContinue` */
export function continueIfLong(): void {
  if (shouldContinue()) throw new ContinueInNextRun();
}

/**
 * Waits for a close, or until the task is to continue as new.
 * @throws ContinueInNextRun
 */
export async function untilClosed(task: Task): Promise<'closed'> {
  await condition(() => task.state.closing || shouldContinue());
  if (!task.state.closing) throw new ContinueInNextRun();
  return 'closed';
}

/**
 * Waits until the task is to continue as new.
 * @throws ContinueInNextRun
 */
export async function untilContinued(): Promise<never> {
  await condition(shouldContinue);
  throw new ContinueInNextRun();
}

export const isContinuing = (error: unknown): boolean => error instanceof ContinueInNextRun;

/** Errors that end a wait without a fault of what was waited for. */
export const isInterruption = (error: unknown): boolean => isContinuing(error) || isCancellation(error);

/** If cancellation arrived while continuing as new, fail with it: the next run would never see it. */
export function unlessCancelled(error: unknown): unknown {
  const isCancelled = isContinuing(error) && CancellationScope.current().consideredCancelled;
  return isCancelled ? new CancelledFailure('Workflow cancelled') : error;
}

/**
 * Continues as new with everything that has arrived; Temporal keeps what arrives later.
 * @throws the error of storing what is too large to carry
 */
export async function continueTask(input: CodexTaskInput | undefined, task: Task): Promise<never> {
  return continueAsNew(...(await nextRun(task, input)));
}
