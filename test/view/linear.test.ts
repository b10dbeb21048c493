import { expect, it } from 'vitest';
import { createView, type ViewEvent } from '../../src/view/index.js';

const inTurn = (turnId: string) => ({ threadId: 'th', turnId });
const delta = (turnId: string, itemId: string) => ({
  method: 'item/agentMessage/delta',
  params: { ...inTurn(turnId), itemId, delta: 'word ' },
});

/** Long lives of tasks, each of about `n` events. */
const LIVES: Record<string, (n: number) => object[]> = {
  'deltas of one message': (n) => Array.from({ length: n }, () => delta('tu', 'm')),
  'deltas of many messages': (n) => Array.from({ length: n }, (_, i) => delta('tu', `m${i % 1_000}`)),
  'parts of one reasoning': (n) =>
    Array.from({ length: n }, (_, i) => ({
      method: 'item/reasoning/summaryTextDelta',
      params: { ...inTurn('tu'), itemId: 'r', delta: 'so', summaryIndex: i },
    })),
  'turns that each have steps': (n) =>
    Array.from({ length: n / 5 }, (_, i) => [
      { method: 'turn/started', params: { threadId: 'th', turn: { id: `t${i}` } } },
      {
        method: 'item/started',
        params: { ...inTurn(`t${i}`), item: { type: 'agentMessage', id: 'm', text: '' } },
      },
      delta(`t${i}`, 'm'),
      delta(`t${i}`, 'm'),
      { method: 'turn/completed', params: { threadId: 'th', turn: { id: `t${i}`, status: 'completed' } } },
    ]).flat(),
  'requests that all wait, and are then answered': (n) => {
    const ids = Array.from({ length: n / 2 }, (_, i) => String(i));
    return [
      ...ids.map((id) => ({
        method: 'item/fileChange/requestApproval',
        id,
        params: { ...inTurn('tu'), itemId: id },
      })),
      ...ids.map((id) => ({ type: 'x-optio-permission-answered', request_id: id, behavior: 'allow' })),
    ];
  },
};

const MANY = 8_000;
/** A long life is compared with so many short ones that have as many events together. */
const LIVES_OF_MANY = 20;

/** What it takes the processor to have each of these lives in a view of its own; how busy the machine is adds nothing. */
function costOf(lives: readonly (readonly ViewEvent[])[]): number {
  const begun = process.cpuUsage();
  for (const events of lives) {
    const view = createView();
    for (const event of events) view.apply(event);
    expect(view.state.lastId).toBe(events.length);
  }
  const { user, system } = process.cpuUsage(begun);
  return user + system;
}

it.each(Object.entries(LIVES))('an event costs the same in a long life as in a short one: %s', (_, life) => {
  const numbered = (n: number) => life(n).map((event, i) => ({ id: i + 1, event }));
  const long = [numbered(MANY)];
  const short = Array.from({ length: LIVES_OF_MANY }, () => numbered(MANY / LIVES_OF_MANY));
  costOf(short);
  const ratios = Array.from({ length: 2 }, () => costOf(long) / costOf(short));
  // 1, or somewhat more for the memory; 20 if each event took longer the more there were before.
  expect(Math.min(...ratios)).toBeLessThan(5);
});
