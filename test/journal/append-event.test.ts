import { expect, test } from 'vitest';
import { readEvent } from '../../src/input/events/read-event.js';
import { appendEvent } from '../../src/journal/append-event.js';
import { memoryJournal } from '../fakes/memory-journal.js';

const params = { threadId: 'th', turnId: 'tu', itemId: 'i' };

test('an event of ours has the time next to its type, a request of Codex to its method', () => {
  const { journal, events } = memoryJournal();
  const before = Date.now();
  appendEvent(journal, { type: 'x-optio-unparked' });
  appendEvent(journal, { method: 'item/fileChange/requestApproval', id: '1-0', params });
  const time = expect.toSatisfy((at: unknown) => Number(at) >= before && Number(at) <= Date.now()) as number;
  expect(events).toEqual([
    { type: 'x-optio-unparked', at: time },
    { method: 'item/fileChange/requestApproval', id: '1-0', params, 'x-optio-at': time },
  ]);
  // What clients of the original read stands first, as it did.
  expect(Object.keys(events[0]!)).toEqual(['type', 'at']);
  expect(Object.keys(events[1]!)).toEqual(['method', 'id', 'params', 'x-optio-at']);
});

test('events of earlier versions without a time are read, an invalid time is not', () => {
  const request = { method: 'item/fileChange/requestApproval', id: '1-0', params };
  expect(readEvent({ type: 'x-optio-unparked' }).name).toBe('x-optio-unparked');
  expect(readEvent({ type: 'x-optio-unparked', at: 1 }).name).toBe('x-optio-unparked');
  expect(readEvent({ type: 'x-optio-unparked', at: 'now' }).name).toBe('unknown');
  expect(readEvent(request).name).toBe(request.method);
  expect(readEvent({ ...request, 'x-optio-at': 1 }).name).toBe(request.method);
  expect(readEvent({ ...request, 'x-optio-at': null }).name).toBe('unknown');
});
