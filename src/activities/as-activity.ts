import { ApplicationFailure } from '@temporalio/activity';
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
  if (!(error instanceof TaskError)) return error;
  return ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: !ERROR_CODES[error.code].retryable,
  });
}
