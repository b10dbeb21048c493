import { expect, test } from 'vitest';
import { EarlyWords } from '../../../src/session/connect/early-words.js';
import type { Thread } from '../../../src/session/conversation/thread.js';
import { chain, heardBy, type Notification } from '../../../src/session/connect/notification-chain.js';

const said = (method: string): Notification => ({ method, params: {}, raw: method });

/** A conversation that only notes what it hears. */
function listener() {
  const heard: string[] = [];
  const thread = {
    router: { route: (method: string) => void heard.push(method) },
  } as unknown as Thread;
  return { heard, thread };
}

test('passes a notification through the handlers in order until one keeps it', () => {
  const steps: string[] = [];
  const notify = chain([
    (each, pass) => {
      steps.push('first');
      if (each.method !== 'swallowed') pass(each);
    },
    heardBy({ seen: (method) => void steps.push(`heard ${method}`) }),
    heardBy(null),
    () => void steps.push('last'),
  ]);
  notify(said('a'));
  notify(said('swallowed'));
  expect(steps).toEqual(['first', 'heard a', 'last', 'first']);
});

test('holds back what a handler keeps until that passes it on', () => {
  const { heard, thread } = listener();
  const held: (() => void)[] = [];
  const notify = chain([
    (each, pass) => (each.method === 'held' ? void held.push(() => pass(each)) : pass(each)),
    ({ method, params, raw }) => thread.router.route(method, params, raw),
  ]);
  for (const method of ['held', 'b']) notify(said(method));
  for (const pass of held) pass();
  expect(heard).toEqual(['b', 'held']);
});

test('replays earlier notifications to a new thread in order, before later ones', () => {
  const { heard, thread } = listener();
  const words = new EarlyWords();
  words.tell((to) => to.router.route('one', {}, ''));
  words.tell((to) => {
    to.router.route('two', {}, '');
    words.tell((again) => again.router.route('two, answered', {}, ''));
  });
  expect(words.thread).toBeNull();
  expect(heard).toEqual([]);
  words.open(thread);
  words.tell((to) => to.router.route('three', {}, ''));
  expect(heard).toEqual(['one', 'two', 'two, answered', 'three']);
});
