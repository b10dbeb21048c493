import { expect, test } from 'vitest';
import { meetHostile } from './meet-hostile.js';

test.each([1, 2])('survives thousands of hostile clients unchanged: seed %i', async (seed) => {
  const statuses = await meetHostile(seed, 800);
  expect(statuses.get(200)).toBeGreaterThan(0);
});
