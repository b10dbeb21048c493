import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';
import { BUDGETS, cutLines, jsonBytes } from '../budgets/budgets.js';
import { TaskError, type ErrorCode } from '../errors.js';
import { UnfitHost } from './unfit-host.js';

/** Runs all; the first to settle decides, the others are cancelled and have ended when this returns. */
export async function firstToSettle<T>(...runs: (() => Promise<T>)[]): Promise<T> {
  const scopes = runs.map(() => new CancellationScope());
  const running = runs.map((run, i) => scopes[i]!.run(run));
  for (const each of running) each.catch(() => undefined);
  try {
    return await Promise.race(running);
  } finally {
    for (const scope of scopes) scope.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled(running));
  }
}

/** A failure of the task itself, with its type. */
export const failure = (code: ErrorCode, message: string, cause?: Error): ApplicationFailure =>
  ApplicationFailure.create({
    type: code,
    message: cutLines(message, BUDGETS.failure),
    nonRetryable: true,
    ...(cause && { cause }),
  });

/** What a task that ended by `error` fails with: the failure of the step, not the step's wrapping. */
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
