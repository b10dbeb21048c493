import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import { BUDGETS, cutLines, jsonBytes } from '../budgets/budgets.js';
import type { BadOutputDetails } from '../contract/index.js';
import { TaskError, type ErrorCode } from '../errors.js';
import { UnfitHost } from './unfit-host.js';

/** A failure of the task itself, with its type. */
export const failure = (
  code: ErrorCode,
  message: string,
  { cause, details }: { cause?: Error; details?: BadOutputDetails | undefined } = {},
): ApplicationFailure =>
  ApplicationFailure.create({
    type: code,
    message: cutLines(message, BUDGETS.failure),
    nonRetryable: true,
    ...(cause && { cause }),
    ...(details && jsonBytes(details) <= BUDGETS.failure && { details: [details] }),
  });

/** The failure of a task that ended by `error`: that of the activity without its wrapper. */
export function taskFailure(error: unknown): unknown {
  if (isCancellation(error)) return error;
  if (error instanceof TaskError) return failure(error.code, error.message);
  if (error instanceof UnfitHost) return failure('HostUnfit', error.message);
  if (!(error instanceof ActivityFailure)) return error;
  const { cause, activityType } = error;
  if (cause instanceof ApplicationFailure)
    return ApplicationFailure.create({
      message: cutLines(cause.message, BUDGETS.failure),
      type: cause.type ?? 'CodexFailed',
      nonRetryable: true,
      details: jsonBytes(cause.details) > BUDGETS.failure ? [] : (cause.details ?? []),
    });
  if (cause instanceof TimeoutFailure)
    return failure(
      'HostLost',
      `The host did not answer (${activityType}: ${cause.timeoutType}): look at its worker`,
    );
  return error;
}

/** The type of a failure: `LeaseLost`, `BadInput`, … */
export const failureType = (error: unknown): string | undefined => {
  const failed = taskFailure(error);
  return failed instanceof ApplicationFailure ? (failed.type ?? undefined) : undefined;
};
