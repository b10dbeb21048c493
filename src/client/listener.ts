import { TaskError } from '../errors.js';
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
 * @throws TaskError that says why the listener refused, or that it is out of reach
 */
export async function postToListener(
  { url, password, taskId }: TaskListener,
  route: 'send' | 'permission' | 'interrupt' | 'control',
  body: object,
): Promise<Record<string, unknown>> {
  let response: Response;
  let answer: Record<string, unknown>;
  try {
    response = await fetch(`${url}/${route}`, {
      method: 'POST',
      headers: { authorization: basicAuthorization(password), 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: timeLimit(ANSWER_MS),
    });
    answer = await readObject(response);
  } catch (error) {
    throw error instanceof TaskError ? error : listenerUnreachable(url, error);
  }
  if (response.ok) return answer;
  const { reason } = answer;
  throw listenerRefusal(response.status, typeof reason === 'string' ? reason : null, url, taskId);
}

/** Refusals of something between client and listener may be no JSON. */
async function readObject(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
