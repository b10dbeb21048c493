import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { openSemaphore } from '../../src/async/semaphore.js';

const { signal } = new AbortController();

it('grants permits in the order of requests', async () => {
  const permits = openSemaphore(1);
  await permits.acquire(signal);
  expect(permits.tryAcquire()).toBe(false);
  const order: string[] = [];
  const waiting = ['a', 'b'].map((name) => permits.acquire(signal).then(() => order.push(name)));
  permits.release();
  await waiting[0];
  expect(order).toEqual(['a']);
  // Nobody overtakes one that waits.
  expect(permits.tryAcquire()).toBe(false);
  permits.release();
  await waiting[1];
  permits.release();
  expect(permits.tryAcquire()).toBe(true);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('grants no permit after an abort, even one before the call', async () => {
  const permits = openSemaphore(1);
  await permits.acquire(signal);
  const over = new AbortController();
  const waiting = permits.acquire(over.signal);
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  permits.release();
  await expect(permits.acquire(over.signal)).rejects.toThrow('enough');
  expect(permits.tryAcquire()).toBe(true);
});

it('never has more permits than it was created with', () => {
  const permits = openSemaphore(1);
  expect(() => permits.release()).toThrow(RangeError);
  expect(permits.tryAcquire()).toBe(true);
  expect(permits.tryAcquire()).toBe(false);
});
