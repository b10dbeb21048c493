import { expect, it } from 'vitest';
import { timerMs } from '../../src/async/timer-ms.js';

it('returns a delay that timers accept', () => {
  expect(timerMs(0)).toBe(0);
  expect(timerMs(1_500)).toBe(1_500);
});

it('bounds a delay that a timer would take for 1 ms', () => {
  expect(timerMs(-5)).toBe(0);
  expect(timerMs(2 ** 31)).toBe(2 ** 31 - 1);
  expect(timerMs(Infinity)).toBe(2 ** 31 - 1);
});
