import { listenerRefusal, listenerUnreachable } from './listener-errors.js';
import { timeLimit } from '../async/time-limit.js';

/** A task's HTTP door: `GET events download`, `POST send interrupt permission upload control` below `url`. */
export interface TaskListener {
  readonly taskId: string;
  readonly url: string;
  readonly username: 'optio';
  readonly password: string;
}

/** Above the 20 s within which a listener answers that it cannot make durable what is asked. */
const ANSWER_MS = 30_000;

/** The value of the header that opens a task's listener. */
export const basicAuthorization = (password: string): string =>
  `Basic ${Buffer.from(`optio:${password}`).toString('base64')}`;

/**
 * Posts JSON to one of a task's routes and gives the answer.
 * @throws TaskError as `callListener` does
 */
export async function postToListener(
  listener: TaskListener,
  route: 'send' | 'permission' | 'interrupt' | 'control',
  body: object,
): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return objectIn(await callListener(listener, route, init, ANSWER_MS));
}

/**
 * Calls one of a task's routes and gives the body of its answer.
 * @param route with its query
 * @throws TaskError that says why the listener refused, or that it is out of reach
 */
export async function callListener(
  { url, password, taskId }: TaskListener,
  route: string,
  init: Pick<RequestInit, 'method' | 'body'> & { headers?: Record<string, string> },
  withinMs: number,
): Promise<Buffer> {
  let response: Response;
  let body: Buffer;
  try {
    const headers = { authorization: basicAuthorization(password), ...init.headers };
    response = await fetch(`${url}/${route}`, { ...init, headers, signal: timeLimit(withinMs) });
    body = Buffer.from(await response.arrayBuffer());
  } catch (error) {
    throw listenerUnreachable(url, error);
  }
  if (response.ok) return body;
  const { reason } = objectIn(body);
  throw listenerRefusal(response.status, typeof reason === 'string' ? reason : null, url, taskId);
}

/** Refusals of something between client and listener may be no JSON. */
function objectIn(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
