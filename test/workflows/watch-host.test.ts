import { expect, it } from 'vitest';
import { pauseBefore } from '../../src/workflows/watch-host.js';

const HOUR_MS = 3_600_000;
/** A timer and a step, each with a workflow task to begin and one to go on. */
const EVENTS_A_LOOK = 11;
const ACTIONS_A_LOOK = 2;

it('costs a task that waits for a lost host at most 150 events and actions an hour', () => {
  let looks = 0;
  for (let ms = pauseBefore(0, 0); ms < HOUR_MS; ms += pauseBefore(looks, 0)) looks++;
  expect(looks).toBeGreaterThan(5);
  expect(looks * EVENTS_A_LOOK).toBeLessThanOrEqual(150);
  expect(looks * ACTIONS_A_LOOK).toBeLessThanOrEqual(150);
});
