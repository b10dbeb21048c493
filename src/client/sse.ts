import { createParser } from 'eventsource-parser';
import type { NumberedEvent } from '../contract/events.js';
import { TaskError } from '../errors.js';
import { readEvent } from '../input/events/read-event.js';

/**
 * One event of a task: codex's notification or request as it came, or one of ours. A `switch` over `name` narrows `event`;
 * `id` is what a later reader gives as `lastEventId`.
 */
export type TaskEvent = NumberedEvent;

/**
 * The events of a response's body. `waiting` is called with true before each read and with false after it,
 * so that a silent connection can be told from a slow reader.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  waiting: (yes: boolean) => void,
): AsyncGenerator<TaskEvent> {
  const events: TaskEvent[] = [];
  const parser = createParser({ onEvent: ({ id, data }) => void events.push(toEvent(id, data)) });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      waiting(true);
      const { done, value } = await reader.read();
      waiting(false);
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* events.splice(0);
    }
  } finally {
    waiting(false);
    // The reader may have stopped early; a body that failed has nothing left to cancel.
    await reader.cancel().catch(() => undefined);
  }
}

function toEvent(id: string | undefined, data: string): TaskEvent {
  const event = parseObject(data);
  if (!event || id === undefined || !/^\d+$/.test(id))
    throw new TaskError(
      'BadInput',
      'The event stream holds data that is no event of a task: is this the listener of a codex-task worker?',
    );
  return { id: Number(id), ...readEvent(event) };
}

function parseObject(data: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
