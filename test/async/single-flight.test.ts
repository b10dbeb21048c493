import { expect, it } from 'vitest';
import { SingleFlight } from '../../src/async/single-flight.js';

it('shares the running call of a key', async () => {
  const flights = new SingleFlight<string>();
  let end: (value: string) => void = () => undefined;
  const first = flights.run('a', () => new Promise((resolve) => (end = resolve)));
  const second = flights.run('a', () => Promise.resolve('not run'));
  expect(await flights.run('b', () => Promise.resolve('b'))).toBe('b');
  end('a');
  expect(await Promise.all([first, second])).toEqual(['a', 'a']);
});

it('waits until the running calls have ended, whatever their outcome', async () => {
  const flights = new SingleFlight<string>();
  let fail: (error: Error) => void = () => undefined;
  const broken = flights.run('a', () => new Promise((_, reject) => (fail = reject)));
  let isIdle = false;
  const idle = flights.idle().then(() => (isIdle = true));
  await flights.run('b', () => Promise.resolve('b'));
  expect(isIdle).toBe(false);
  fail(new Error('broken'));
  await expect(broken).rejects.toThrow('broken');
  await idle;
});

it('starts again after the end, even after a failure or a synchronous throw', async () => {
  const flights = new SingleFlight<string>();
  const both = [1, 2].map(() => flights.run('a', () => Promise.reject(new Error('broken'))));
  for (const each of both) await expect(each).rejects.toThrow('broken');
  await expect(
    flights.run('a', () => {
      throw new Error('at once');
    }),
  ).rejects.toThrow('at once');
  expect(await flights.run('a', () => Promise.resolve('done'))).toBe('done');
});
