import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { pause } from '../../src/async/pause.js';

it('lasts as long as asked', async () => {
  const began = performance.now();
  await pause(30, new AbortController().signal);
  expect(performance.now() - began).toBeGreaterThan(25);
});

it('ends at an abort, even one before the call, without an error or a listener', async () => {
  const over = new AbortController();
  const waiting = pause(60_000, over.signal);
  over.abort(new Error('gone'));
  await waiting;
  await pause(60_000, over.signal);
  expect(getEventListeners(over.signal, 'abort')).toEqual([]);
});
