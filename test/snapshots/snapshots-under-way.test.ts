import { expect, it } from 'vitest';
import { endSnapshots, inTurn } from '../../src/snapshots/snapshots-under-way.js';

/** A call that lasts until it is told to end, or its signal aborts. */
function held() {
  let end: () => void = () => undefined;
  const run = (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      end = () => resolve('done');
      signal.addEventListener('abort', () => reject(signal.reason as Error));
    });
  return { run, end: () => end() };
}

it('reads a folder one call at a time, and two folders at once', async () => {
  const first = held();
  const order: string[] = [];
  const running = inTurn('a', undefined, first.run).then(() => order.push('first'));
  const second = inTurn('a', undefined, () => Promise.resolve(order.push('second')));
  await inTurn('b', undefined, () => Promise.resolve(order.push('other')));
  first.end();
  await Promise.all([running, second]);
  expect(order).toEqual(['other', 'first', 'second']);
});

it('releases an aborted call at once while another reads', async () => {
  const first = held();
  const running = inTurn('a', undefined, first.run);
  const over = new AbortController();
  const waiting = inTurn('a', over.signal, () => Promise.resolve('not run'));
  over.abort(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
  first.end();
  expect(await running).toBe('done');
});

it('aborts readers and waiters before a folder is removed, and reads the next one', async () => {
  const first = held();
  const calls = [inTurn('a', undefined, first.run), inTurn('a', undefined, () => Promise.resolve('not run'))];
  const ended = Promise.allSettled(calls);
  await Promise.resolve();
  await endSnapshots('a');
  for (const each of await ended)
    expect(each).toMatchObject({ reason: { message: 'the folder is removed' } });
  expect(await inTurn('a', undefined, () => Promise.resolve('done'))).toBe('done');
  await endSnapshots('nothing reads it');
});
