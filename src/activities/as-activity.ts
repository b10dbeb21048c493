import { ApplicationFailure } from '@temporalio/activity';
import { TemporalFailure } from '@temporalio/common';
import { BUDGETS, cutLines, textBytes } from '../budgets.js';
import { ERROR_CODES, TaskError } from '../errors.js';

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

function toFailure(error: unknown): unknown {
  if (!(error instanceof TaskError)) return bounded(error);
  return ApplicationFailure.create({
    type: error.code,
    message: cutLines(error.message, BUDGETS.failure),
    nonRetryable: !ERROR_CODES[error.code].retryable,
  });
}

/** Of a failure that is too large Temporal keeps not even the type. */
function bounded(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TemporalFailure) return error;
  if (textBytes(error.message) <= BUDGETS.failure) return error;
  return ApplicationFailure.create({ type: error.name, message: cutLines(error.message, BUDGETS.failure) });
}
