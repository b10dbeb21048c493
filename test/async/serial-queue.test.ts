import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { SerialQueue } from '../../src/async/serial-queue.js';

/** An act that lasts until it is told how it ends. */
function held() {
  let end: () => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const lasts = new Promise<void>((resolve, reject) => ([end, fail] = [resolve, reject]));
  return { act: () => lasts, end, fail };
}

it('runs one act at a time, in order, and returns each result', async () => {
  const queue = new SerialQueue();
  const order: string[] = [];
  const first = held();
  const runs = [
    queue.run(async () => {
      order.push('first begins');
      await first.act();
      order.push('first ends');
    }),
    queue.run(async () => order.push('second')),
  ];
  await Promise.resolve();
  expect(order).toEqual(['first begins']);
  expect(queue.isIdle).toBe(false);
  first.end();
  expect(await Promise.all(runs)).toEqual([undefined, 3]);
  expect(order).toEqual(['first begins', 'first ends', 'second']);
  expect(queue.isIdle).toBe(true);
});

it('runs the next act after a failure, which only its own caller gets', async () => {
  const queue = new SerialQueue();
  const failed = queue.run(() => Promise.reject(new Error('broken')));
  const thrown = queue.run(() => {
    throw new Error('at once');
  });
  const next = queue.run(() => Promise.resolve('done'));
  await expect(failed).rejects.toThrow('broken');
  await expect(thrown).rejects.toThrow('at once');
  expect(await next).toBe('done');
});

it('skips a waiting act at its abort and keeps the order of the others', async () => {
  const queue = new SerialQueue();
  const first = held();
  const order: string[] = [];
  const running = queue.run(first.act).then(() => order.push('first'));
  const over = new AbortController();
  const waiting = queue.run(() => Promise.resolve(order.push('given up')), over.signal);
  const last = queue.run(() => Promise.resolve(order.push('last')));
  over.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(queue.run(() => Promise.resolve(), over.signal)).rejects.toThrow('enough');
  expect(order).toEqual([]);
  first.end();
  await Promise.all([running, last]);
  expect(order).toEqual(['first', 'last']);
});

it('leaves a running act alone and leaves no listener', async () => {
  const queue = new SerialQueue();
  const first = held();
  const over = new AbortController();
  const running = queue.run(first.act, over.signal);
  await Promise.resolve();
  expect(getEventListeners(over.signal, 'abort')).toEqual([]);
  over.abort();
  first.end();
  await running;
});

it('waits until all earlier acts have ended, whatever their outcome', async () => {
  const queue = new SerialQueue();
  await queue.idle();
  const first = held();
  const running = queue.run(first.act);
  const idle = queue.idle();
  first.fail(new Error('broken'));
  await expect(running).rejects.toThrow('broken');
  await idle;
});
