import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { Notifier } from '../../src/async/notifier.js';

it('wakes all current waiters and no later ones', async () => {
  const notifier = new Notifier();
  const { signal } = new AbortController();
  const waiting = [notifier.wait(signal), notifier.wait()];
  expect(notifier.size).toBe(2);
  notifier.notifyAll();
  await Promise.all(waiting);
  expect(notifier.size).toBe(0);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  void notifier.wait();
  expect(notifier.size).toBe(1);
});

it('releases a waiter that aborts, even before the call', async () => {
  const notifier = new Notifier();
  const over = new AbortController();
  const waiting = notifier.wait(over.signal);
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(notifier.wait(over.signal)).rejects.toThrow('enough');
  expect(notifier.size).toBe(0);
});
