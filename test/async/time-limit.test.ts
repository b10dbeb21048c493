import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { onceLate, timeLimit } from '../../src/async/time-limit.js';
import { socketPair } from '../support/socket-pair.js';
import { standStill } from '../support/stand-still.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });

it('aborts on time, even after a garbage collection', async () => {
  const other = new AbortController();
  const all = Array.from({ length: 20 }, () => aborted(timeLimit(50, other.signal)));
  collectGarbage();
  await expect(all[0]).resolves.toMatchObject({ name: 'TimeoutError', message: 'no end after 0.05 s' });
  for (const reason of await Promise.all(all)) expect(reason).toMatchObject({ name: 'TimeoutError' });
});

it('aborts with the reason of another signal that aborts', async () => {
  const other = new AbortController();
  const reason = aborted(timeLimit(60_000, other.signal));
  other.abort('enough');
  expect(await reason).toBe('enough');
});

describe('an act at a deadline', () => {
  it('runs on time, and not after a cancellation', async () => {
    const cancelled = vi.fn();
    onceLate(1, cancelled)();
    await new Promise<void>((resolve) => onceLate(20, resolve));
    expect(cancelled).not.toHaveBeenCalled();
  });

  it('runs only after this process has read the input of the time it was frozen', async () => {
    const order: string[] = [];
    const [near, far] = await socketPair();
    near.once('data', () => order.push('read'));
    const late = new Promise<void>((resolve) => {
      onceLate(20, () => {
        order.push('late');
        resolve();
      });
    });
    far.write('here');
    standStill(300);
    await late;
    expect(order).toEqual(['read', 'late']);
  });
});
