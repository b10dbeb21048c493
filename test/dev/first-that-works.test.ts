import { expect, test } from 'vitest';
import { firstThatWorks } from '../../src/dev/first-that-works.js';
import { stackOptions } from '../support/shared-servers.js';

function setup() {
  const said: string[] = [];
  const tried: string[] = [];
  const options = {
    ...stackOptions('/nowhere', new AbortController().signal),
    say: (line: string) => said.push(line),
  };
  const refuses = (because: string) => async () => (tried.push(because), { because });
  const offers = (what: string) => async () => (tried.push(what), { what });
  return { said, tried, options, refuses, offers };
}

test('the first way that works is used, and later ones are not tried', async () => {
  const { said, tried, options, refuses, offers } = setup();
  const ways = [refuses('no VARIABLE'), offers('B'), offers('C')];
  expect(await firstThatWorks('part', 'VARIABLE', ways, options)).toEqual({ what: 'B' });
  expect(tried).toEqual(['no VARIABLE', 'B']);
  expect(said).toEqual(['part: B (no VARIABLE)']);
});

test('a choice without refusals is reported without reasons', async () => {
  const { said, options, offers } = setup();
  await firstThatWorks('part', 'VARIABLE', [offers('A')], options);
  expect(said).toEqual(['part: A']);
});

test('the error lists every reason and what to do when no way works', async () => {
  const { options, refuses } = setup();
  await expect(
    firstThatWorks('part', 'VARIABLE', [refuses('no this'), refuses('no that')], options),
  ).rejects.toMatchObject({
    code: 'Unavailable',
    message: 'No part available: no this, no that; fix one of these, or start one and set VARIABLE',
  });
});

test('an abort ends the tries', async () => {
  const { tried, options, refuses, offers } = setup();
  const controller = new AbortController();
  const aborts = async () => {
    controller.abort();
    return { because: 'aborted' };
  };
  const ways = [refuses('no'), aborts, offers('late')];
  await expect(
    firstThatWorks('part', 'VARIABLE', ways, { ...options, signal: controller.signal }),
  ).rejects.toThrow('aborted');
  expect(tried).toEqual(['no']);
});
