import { expect, it } from 'vitest';
import { KeyedQueue } from '../../src/async/keyed-queue.js';

it('runs acts of one key in turn and acts of two keys concurrently', async () => {
  const queue = new KeyedQueue();
  const order: string[] = [];
  let end: () => void = () => undefined;
  const first = queue.run('a', () => new Promise<void>((resolve) => (end = resolve)));
  const second = queue.run('a', () => Promise.resolve(order.push('a')));
  await queue.run('b', () => Promise.resolve(order.push('b')));
  expect(order).toEqual(['b']);
  end();
  await Promise.all([first, second]);
  expect(order).toEqual(['b', 'a']);
});

it('runs the next act of a key after one that failed', async () => {
  const queue = new KeyedQueue();
  const failed = queue.run('a', () => Promise.reject(new Error('broken')));
  const next = queue.run('a', () => Promise.resolve('done'));
  await expect(failed).rejects.toThrow('broken');
  expect(await next).toBe('done');
});

it('knows a key while an act of it waits or runs, and forgets it then', async () => {
  const queue = new KeyedQueue();
  let end: () => void = () => undefined;
  const running = queue.run('a', () => new Promise<void>((resolve) => (end = resolve)));
  const over = new AbortController();
  const waiting = queue.run('a', () => Promise.resolve(), over.signal);
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  expect([queue.has('a'), queue.has('b')]).toEqual([true, false]);
  const idle = queue.idle('a');
  await queue.idle('b');
  end();
  await Promise.all([running, idle]);
  expect(queue.has('a')).toBe(false);
});
