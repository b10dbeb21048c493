import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import { BUDGETS, cutLines, jsonBytes } from '../budgets/budgets.js';
import type { Outcome } from '../contract/index.js';
import { taskFailure } from './failures.js';

/** How an assignment on a host ended, for late readers. */
export type Ending = { outcome: Outcome } | { error: unknown };

/**
 * An end as the next run carries it: that run cannot be cancelled by what cancelled this one, so the error's name
 * stands for it.
 */
export function carryEnding(ending: Ending): CarriedEnding {
  if ('outcome' in ending) return ending;
  const error = taskFailure(ending.error);
  const message = cutLines(error instanceof Error ? error.message : String(error), BUDGETS.failure);
  const failed = error instanceof ApplicationFailure ? error : null;
  const type = failed?.type ?? (isCancellation(error) ? 'Cancelled' : 'CodexFailed');
  const details = failed?.details ?? [];
  const isSmall = jsonBytes({ message, details }) <= BUDGETS.failure;
  return { type, message, ...(details.length > 0 && isSmall && { details }) };
}

export const endingFrom = (carried: CarriedEnding): Ending =>
  'outcome' in carried ? carried : { error: ApplicationFailure.create({ ...carried, nonRetryable: true }) };

/** An end as plain JSON: an outcome, or the failure of the task. */
export type CarriedEnding = { outcome: Outcome } | { type: string; message: string; details?: unknown[] };
