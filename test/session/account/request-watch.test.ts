import { expect, test } from 'vitest';
import { RequestWatch } from '../../../src/session/account/request-watch.js';

const T = { threadId: 't' };

/** Whether a refresh may be in flight after each of these. */
function after(...seen: [string, object?][]): boolean[] {
  const watch = new RequestWatch();
  return seen.map(([method, params]) => {
    watch.seen(method, { ...T, ...params });
    return watch.mayRefresh;
  });
}

const item = (type: string, id = 'i') => ({ item: { type, id } });

test('a request is in flight from the start of a turn to the model’s first word', () => {
  const steps: [string, object | undefined, boolean][] = [
    ['thread/started', undefined, false],
    ['turn/started', undefined, true],
    ['item/started', item('userMessage'), true],
    ['item/completed', item('userMessage'), true],
    ['item/started', item('reasoning'), false],
    ['item/completed', item('reasoning'), false],
    ['item/started', item('commandExecution', 'c'), false],
    ['thread/tokenUsage/updated', undefined, false],
    ['item/commandExecution/outputDelta', undefined, false],
    ['item/completed', item('commandExecution', 'c'), true],
    ['item/started', item('agentMessage'), false],
    ['item/agentMessage/delta', undefined, false],
    // A command that fails on the sandbox at once has no item at all.
    ['thread/tokenUsage/updated', undefined, true],
    ['item/agentMessage/delta', undefined, false],
    ['error', { willRetry: true }, true],
    ['item/agentMessage/delta', undefined, false],
    ['item/started', item('userMessage'), true],
    ['error', { willRetry: false }, false],
    ['turn/completed', undefined, false],
  ];
  expect(after(...steps.map(([method, params]) => [method, params] as [string, object?]))).toEqual(
    steps.map(([, , expected]) => expected),
  );
});

test('the last of two concurrent commands to end starts the next model request', () => {
  expect(
    after(
      ['turn/started'],
      ['item/started', item('commandExecution', 'a')],
      ['item/started', item('mcpToolCall', 'b')],
      ['item/completed', item('commandExecution', 'a')],
      ['item/completed', item('mcpToolCall', 'b')],
    ),
  ).toEqual([true, false, false, false, true]);
});

test('requests of sub-agents and of turns with an unknown start count too', () => {
  const watch = new RequestWatch();
  watch.assumeTurn('t');
  expect(watch.mayRefresh).toBe(true);
  watch.seen('item/agentMessage/delta', T);
  expect(watch.mayRefresh).toBe(false);
  watch.seen('turn/started', { threadId: 'agent' });
  expect(watch.mayRefresh).toBe(true);
  watch.settled();
  expect(watch.mayRefresh).toBe(false);
  watch.seen('item/agentMessage/delta', null);
});
