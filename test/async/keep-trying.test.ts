import { expect, it } from 'vitest';
import { keepTrying } from '../../src/async/keep-trying.js';

it('retries until it succeeds, and reports each failure', async () => {
  const failures: unknown[] = [];
  let tries = 0;
  const act = () => (++tries < 3 ? Promise.reject(new Error(`${tries}`)) : Promise.resolve('done'));
  expect(await keepTrying(act, (error) => failures.push(error), 1)).toBe('done');
  expect(failures).toEqual([new Error('1'), new Error('2')]);
});
