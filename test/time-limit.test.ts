import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { timeLimit } from '../src/time-limit.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const aborted = (signal: AbortSignal) =>
  new Promise<unknown>((resolve) => {
    signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  });

it('aborts in time, also when the garbage collector came before', async () => {
  const other = new AbortController();
  const all = Array.from({ length: 20 }, () => aborted(timeLimit(50, other.signal)));
  collectGarbage();
  await expect(all[0]).resolves.toMatchObject({ name: 'TimeoutError', message: 'no end after 0.05 s' });
  for (const reason of await Promise.all(all)) expect(reason).toMatchObject({ name: 'TimeoutError' });
});

it('aborts when another does, with its reason', async () => {
  const other = new AbortController();
  const reason = aborted(timeLimit(60_000, other.signal));
  other.abort('enough');
  expect(await reason).toBe('enough');
});
