import { reasonOf, TaskError } from '../errors.js';

/** What an answer of a task's listener other than 2xx means. `reason` is the one in its body. */
export function listenerRefusal(
  status: number,
  reason: string | null,
  url: string,
  taskId: string,
): TaskError {
  if (status === 401)
    return new TaskError(
      'BadInput',
      `The listener at ${url} refused the password: give the worker's CODEX_TASK_LISTENER_SECRET`,
    );
  if (reason === 'unknown-request')
    return new TaskError('NotFound', `Task ${taskId} has no such open request (unknown or already settled)`);
  if (status === 404)
    return new TaskError('SessionNotHere', `The listener at ${url} does not have task ${taskId}`);
  if (status === 409) return new TaskError('NotFound', `Task ${taskId} is closed`);
  if (status === 413) return new TaskError('BadInput', `Too large for task ${taskId}`);
  if (status >= 400 && status < 500)
    return new TaskError(
      'BadInput',
      `The listener at ${url} answered ${status}${reason ? ` ${reason}` : ''}`,
    );
  return new TaskError('Unavailable', `The listener at ${url} answered ${status}: try again`);
}

/** A listener that did not answer at all. */
export function listenerUnreachable(url: string, error: unknown): TaskError {
  // fetch hides the socket's error in its cause.
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return new TaskError('Unavailable', `Listener not reachable at ${url}: ${reasonOf(cause)}`, {
    cause: error,
  });
}
