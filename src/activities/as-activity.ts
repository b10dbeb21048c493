import { ApplicationFailure } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { BUDGETS, cutLines, textBytes } from '../budgets.js';
import { ERROR_CODES, reasonOf, TaskError } from '../errors.js';
import { faultOf } from '../host/fault-of.js';
import { UnfitHere } from '../session/host-fitness.js';

export type Steps = Record<string, (argument: never) => Promise<unknown>>;

/** Turns our errors into Temporal's failures: the code is the type, and says whether trying again can help. */
export function asActivities<S extends Steps>(steps: S): S {
  const wrapped = Object.entries(steps).map(([name, step]) => [
    name,
    async (argument: never) => {
      try {
        return await step(argument);
      } catch (error) {
        throw toFailure(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as S;
}

/** Others keep their text; what says whether trying again can help goes along for the workflow (`workflows/insist.ts`). */
function toFailure(error: unknown): unknown {
  if (error instanceof TaskError)
    return ApplicationFailure.create({
      type: error.code,
      message: cutLines(error.message, BUDGETS.failure),
      nonRetryable: !ERROR_CODES[error.code].retryable,
      ...(faultOf(error) === 'outage' && { details: [{ fault: 'outage' }] }),
    });
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
        nonRetryable: true,
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
