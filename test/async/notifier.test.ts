import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { Notifier } from '../../src/async/notifier.js';

it('wakes all that wait, and none that comes later', async () => {
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

it('lets go who gives up, before the call too, and does not keep him', async () => {
  const notifier = new Notifier();
  const over = new AbortController();
  const waiting = notifier.wait(over.signal);
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(notifier.wait(over.signal)).rejects.toThrow('enough');
  expect(notifier.size).toBe(0);
});
