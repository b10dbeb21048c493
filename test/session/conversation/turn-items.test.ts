import { expect, test } from 'vitest';
import type { ThreadItem } from '../../../src/codex/protocol.js';
import { TurnItems } from '../../../src/session/conversation/turn-items.js';

const item = (type: string, more: object = {}) => ({ id: type, type, ...more }) as unknown as ThreadItem;

test.each([
  ['commandExecution', true],
  ['fileChange', true],
  ['mcpToolCall', true],
  ['agentMessage', false],
  ['reasoning', false],
])('Codex is expected to end an open %s: %s', (type, expected) => {
  const items = new TurnItems();
  items.started(item(type));
  expect(items.expectsEnd).toBe(expected);
  items.completed(item(type));
  expect(items.expectsEnd).toBe(false);
});

test('an item still waiting for approval is not expected to end', () => {
  const items = new TurnItems();
  items.started(item('commandExecution'));
  items.cut('commandExecution');
  expect(items.expectsEnd).toBe(false);
});

test('every open item ends once, and a message ends with its text so far', () => {
  const items = new TurnItems();
  items.started(item('agentMessage', { text: '' }));
  items.started(item('commandExecution', { status: 'inProgress' }));
  items.started(item('reasoning'));
  items.started(item('webSearch'));
  items.completed(item('webSearch'));
  for (const delta of ['Hal', 'f']) items.delta('agentMessage', delta);
  items.delta('unknown', 'x');
  const ended = items.close('t', 'u').map((json) => JSON.parse(json) as { params: { item: object } });
  expect(ended.map(({ params }) => params.item)).toEqual([
    { id: 'agentMessage', type: 'agentMessage', text: 'Half' },
    { id: 'commandExecution', type: 'commandExecution', status: 'failed' },
    { id: 'reasoning', type: 'reasoning' },
  ]);
  expect(ended[0]).toMatchObject({
    method: 'item/completed',
    params: { threadId: 't', turnId: 'u' },
    'x-optio-cut': true,
  });
  expect(items.close('t', 'u')).toEqual([]);
});

test('the newest file changes are known even after their turn', () => {
  const items = new TurnItems();
  const changes = [{ path: 'a', diff: '+', kind: { type: 'add' } }];
  items.started(item('fileChange', { changes }));
  expect(items.changesOf('fileChange')).toEqual(changes);
  expect(items.changesOf(7)).toBeUndefined();
  items.close('t', 'u');
  expect(items.changesOf('fileChange')).toEqual(changes);
  for (let n = 0; n < 200; n++) items.known({ ...item('fileChange', { changes }), id: `later-${n}` });
  expect(items.changesOf('fileChange')).toBeUndefined();
  expect(items.changesOf('later-0')).toEqual(changes);
});
