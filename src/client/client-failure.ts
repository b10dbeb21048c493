import {
  isGrpcDeadlineError,
  isGrpcServiceError,
  QueryNotRegisteredError,
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import {
  ApplicationFailure,
  CancelledFailure,
  NamespaceNotFoundError,
  TerminatedFailure,
  TimeoutFailure,
  ValueError,
} from '@temporalio/common';
import { ASK_AGAIN, BEGINS_AGAIN, ERROR_CODES, reasonOf, TaskError, type ErrorCode } from '../errors.js';

/** Invalid argument, permission denied, unauthenticated. */
const GRPC_REFUSALS = [3, 7, 16];

/** The failure of a query that came at the wrong moment. */
const AGAIN = [ASK_AGAIN, BEGINS_AGAIN];

/** Whether Temporal's client was refused a query that came at the wrong moment. */
export const isOutOfTurn = (error: unknown): boolean =>
  error instanceof QueryNotRegisteredError && AGAIN.some((each) => error.message.includes(each));

/** What an error of Temporal's client means for a task; our own ones pass. */
export function clientFailure(error: unknown, taskId: string): unknown {
  if (error instanceof WorkflowFailedError) return taskFailure(error.cause, taskId, error);
  if (error instanceof WorkflowNotFoundError) return failure('NotFound', notFound(error, taskId), error);
  if (error instanceof NamespaceNotFoundError)
    return failure('BadInput', `Temporal has no namespace ${error.namespace}: set TEMPORAL_NAMESPACE`, error);
  if (error instanceof WorkflowExecutionAlreadyStartedError)
    return failure(
      'BadInput',
      `task ${taskId} is already running: choose another id, or end it first`,
      error,
    );
  if (isOutOfTurn(error))
    return failure('Unavailable', `Another worker is taking up task ${taskId}: ask again`, error);
  if (error instanceof QueryNotRegisteredError)
    return failure('NotFound', `workflow ${taskId} does not answer as a codex task: ${error.message}`, error);
  if (error instanceof WorkflowUpdateFailedError && isUnprocessed(error))
    return failure('Unavailable', `Task ${taskId} is continuing in another run: ask again`, error);
  if (error instanceof WorkflowUpdateFailedError) {
    const { cause } = error;
    const code = cause instanceof ApplicationFailure ? ERROR_CODES_BY_NAME.get(cause.type ?? '') : undefined;
    return failure(code ?? 'BadInput', reasonOf(cause ?? error), error);
  }
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isGrpcDeadlineError(error))
    return failure('Unavailable', `No answer about task ${taskId}: does a worker run?`, error);
  if (error instanceof ValueError && error.message.startsWith('Unknown encoding'))
    return failure(
      'BadInput',
      `Temporal has payloads that this client cannot read: give it CODEX_TASK_PAYLOAD_KEY`,
      error,
    );
  return error instanceof ServiceError ? serviceFailure(error) : error;
}

/** Whether a query or an update failed that is to be sent again at once. */
export const isAskedAgain = (error: unknown): boolean =>
  error instanceof TaskError &&
  error.code === 'Unavailable' &&
  (error.cause instanceof QueryNotRegisteredError ||
    error.cause instanceof WorkflowUpdateFailedError ||
    wentToDeadWorker(error.cause));

/** Whether nobody said if an update is taken: no worker answered, or one of a version that does not know it. */
export const isUndecided = (error: unknown): boolean =>
  error instanceof TaskError &&
  (error.code === 'Unavailable' ||
    (error.cause instanceof WorkflowUpdateFailedError && isUnregistered(error.cause)));

/** What the SDK says of an update without a handler (1.24.0). */
const isUnregistered = ({ cause }: WorkflowUpdateFailedError): boolean =>
  cause instanceof ApplicationFailure && cause.message.startsWith('No registered handler for update');

/** What the server says of a query that it gave to a worker which was killed just then. */
const wentToDeadWorker = (error: unknown): boolean =>
  error instanceof ServiceError &&
  isGrpcServiceError(error.cause) &&
  error.cause.details === 'context canceled';

/** Temporal's error for an update whose run completed a workflow task without accepting or rejecting it. */
export const isUnprocessed = ({ cause }: WorkflowUpdateFailedError): boolean =>
  cause instanceof ApplicationFailure && cause.type === 'UnprocessedUpdate';

/** The failure a task ended with. */
function taskFailure(cause: unknown, taskId: string, error: Error): TaskError {
  if (cause instanceof ApplicationFailure) {
    const code = ERROR_CODES_BY_NAME.get(cause.type ?? '');
    // A fault of the workflow's own code has a type that is none of ours.
    const message = code ? cause.message : `${cause.type}: ${cause.message}`;
    const details = code === 'BadOutput' ? cause.details?.[0] : undefined;
    return new TaskError(code ?? 'CodexFailed', message, { cause: error, details });
  }
  if (cause instanceof CancelledFailure) return failure('Cancelled', `Task ${taskId} was cancelled`, error);
  if (cause instanceof TerminatedFailure)
    return failure('Cancelled', `Task ${taskId} was terminated: ${cause.message}`, error);
  if (cause instanceof TimeoutFailure)
    return failure('TaskTimedOut', `Task ${taskId} ran into the timeout of its workflow`, error);
  return failure('CodexFailed', reasonOf(cause ?? error), error);
}

const ERROR_CODES_BY_NAME = new Map(Object.keys(ERROR_CODES).map((code) => [code, code as ErrorCode]));

/** `Unavailable` for what a retry can fix; a refusal stays a refusal. */
function serviceFailure(error: ServiceError): TaskError {
  const { cause } = error;
  if (!isGrpcServiceError(cause))
    return failure('Unavailable', `Temporal is out of reach: ${error.message}`, error);
  const code: number = cause.code;
  return GRPC_REFUSALS.includes(code)
    ? failure('BadInput', `Temporal refused: ${cause.details}`, error)
    : failure('Unavailable', `Temporal is out of reach: ${cause.details}`, error);
}

/** The server says `not found` also of a task that has ended. */
const notFound = (error: WorkflowNotFoundError, taskId: string): string =>
  /already completed/.test(error.message) ? `task ${taskId} has ended` : `no task ${taskId}`;

const failure = (code: ErrorCode, message: string, cause: unknown): TaskError =>
  new TaskError(code, message, { cause });
