import { onAbort } from '../async/abort.js';
import { TaskError } from '../errors.js';
import { onceLate } from '../async/time-limit.js';
import { listenerRefusal, listenerUnreachable } from './listener-errors.js';
import { readEvents, type TaskEvent } from './sse.js';

export interface OpenOptions {
  /** The task's listener, without `/events`. */
  readonly url: string;
  readonly authorization: string;
  readonly taskId: string;
  readonly lastEventId: number;
  readonly idleMs: number;
  readonly signal: AbortSignal;
}

/**
 * One connection to a task's event stream; null when nothing is left of it.
 * @throws TaskError when the listener refuses or is out of reach; the events throw when the connection breaks
 */
export async function openEvents(options: OpenOptions): Promise<AsyncIterable<TaskEvent> | null> {
  const { url, authorization, taskId, lastEventId, idleMs, signal } = options;
  const connection = new AbortController();
  let goOn: (() => void) | undefined;
  const waiting = (yes: boolean) => {
    goOn?.();
    goOn = yes ? onceLate(idleMs, () => connection.abort(silence(url, idleMs))) : undefined;
  };
  const release = () => {
    waiting(false);
    unlink();
  };
  const failure = (error: unknown) => {
    const why: unknown = connection.signal.reason ?? error;
    return why instanceof TaskError ? why : listenerUnreachable(url, why);
  };

  const unlink = onAbort(signal, () => connection.abort());
  try {
    waiting(true);
    const lastSeen = lastEventId > 0 ? { 'last-event-id': String(lastEventId) } : {};
    const headers = { authorization, accept: 'text/event-stream', ...lastSeen };
    const response = await fetch(`${url}/events`, { headers, signal: connection.signal });
    waiting(false);
    if (response.status === 200 && response.body) return eventsOf(response.body);
    await response.body?.cancel();
    if (response.status !== 204) throw listenerRefusal(response.status, null, url, taskId);
    release();
    return null;
  } catch (error) {
    release();
    throw failure(error);
  }

  async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<TaskEvent> {
    try {
      yield* readEvents(body, waiting);
    } catch (error) {
      throw failure(error);
    } finally {
      release();
    }
  }
}

const silence = (url: string, idleMs: number): TaskError =>
  new TaskError('Unavailable', `The event stream of ${url} was silent for ${idleMs / 1_000} s`);
