import { expect, it } from 'vitest';
import { untilDone } from '../../src/async/until-done.js';

it('tries until it succeeds', async () => {
  let tries = 0;
  const act = () => (++tries < 3 ? Promise.reject(new Error('full')) : Promise.resolve());
  await untilDone(act, () => true, 1);
  expect(tries).toBe(3);
});

it('ends when nobody waits for it any more, and does nothing for nobody', async () => {
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
