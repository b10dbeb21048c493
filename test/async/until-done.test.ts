import { expect, it } from 'vitest';
import { untilDone } from '../../src/async/until-done.js';

it('retries until it succeeds', async () => {
  let tries = 0;
  const act = () => (++tries < 3 ? Promise.reject(new Error('full')) : Promise.resolve());
  await untilDone(act, () => true, 1);
  expect(tries).toBe(3);
});

it('ends when nobody waits any more, and never starts for nobody', async () => {
  let tries = 0;
  const act = () => {
    tries++;
    return Promise.reject(new Error('full'));
  };
  await untilDone(act, () => tries < 2, 1);
  expect(tries).toBe(2);
  await untilDone(act, () => false, 1);
  expect(tries).toBe(2);
});
