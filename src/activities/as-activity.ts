import { ApplicationFailure } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { BUDGETS, cutLines, textBytes } from '../budgets/budgets.js';
import { ERROR_CODES, reasonOf, TaskError } from '../errors.js';
import { faultOf } from '../process/fault-of.js';
import { UnfitHere } from '../session/host/host-fitness.js';

export type Steps = Record<string, (argument: never) => Promise<unknown>>;

/**
 * Turns our errors into Temporal's failures: the code is the type, and says whether trying again can help.
 * @param isAnywhere whether the next attempt may be another host's, which has what is missing on this one
 */
export function asActivities<S extends Steps>(steps: S, { isAnywhere = false } = {}): S {
  const wrapped = Object.entries(steps).map(([name, step]) => [
    name,
    async (argument: never) => {
      try {
        return await step(argument);
      } catch (error) {
        throw toFailure(error, isAnywhere);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as S;
}

/** Others keep their text; what says whether trying again can help goes along for the workflow (`workflows/insist.ts`). */
function toFailure(error: unknown, isAnywhere: boolean): unknown {
  if (error instanceof TaskError) {
    const fault = faultOf(error);
    return ApplicationFailure.create({
      type: error.code,
      message: cutLines(error.message, BUDGETS.failure),
      nonRetryable: !ERROR_CODES[error.code].retryable,
      ...((fault === 'outage' || fault === 'lasting') && { details: [{ fault }] }),
    });
  }
  if (error instanceof TemporalFailure || isStopped(error)) return error;
  const fault = error instanceof UnfitHere ? 'lasting' : faultOf(error);
  const message = cutLines(reasonOf(error), BUDGETS.failure);
  switch (fault) {
    case 'outage':
      return ApplicationFailure.create({ type: 'Unavailable', message, details: [{ fault }] });
    case 'lasting':
      return ApplicationFailure.create({
        type: 'HostUnfit',
        message,
        nonRetryable: !isAnywhere,
        details: [{ fault }],
      });
    case 'ours':
      return ApplicationFailure.create({ type: 'HostUnfit', message, nonRetryable: true });
    case 'unknown':
      return bounded(error);
  }
}

/** Of a step that was cancelled. */
const isStopped = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

/** Of a failure that is too large Temporal keeps not even the type. */
function bounded(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TemporalFailure) return error;
  if (textBytes(error.message) <= BUDGETS.failure) return error;
  return ApplicationFailure.create({ type: error.name, message: cutLines(error.message, BUDGETS.failure) });
}
