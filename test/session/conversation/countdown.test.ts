import { expect, test } from 'vitest';
import { Countdown } from '../../../src/session/conversation/countdown.js';
import { socketPair } from '../../support/socket-pair.js';
import { standStill } from '../../support/stand-still.js';

test('a time that ran out in a frozen process is over only after its input is read', async () => {
  const order: string[] = [];
  const [near, far] = await socketPair();
  const over = new Promise<void>((resolve) => {
    const countdown = new Countdown(50, () => {
      order.push('over');
      resolve();
    });
    near.once('data', () => {
      order.push('read');
      countdown.pause();
      countdown.resume();
    });
  });
  far.write('the end of a turn');
  standStill(300);
  await over;
  expect(order).toEqual(['read', 'over']);
});

test('a time that ran out in a frozen process is not over when its input stopped it', async () => {
  const [near, far] = await socketPair();
  let isOver = false;
  const countdown = new Countdown(50, () => (isOver = true));
  const stopped = new Promise<void>((resolve) => near.once('data', () => resolve(countdown.stop())));
  far.write('the end of a turn');
  standStill(300);
  await stopped;
  expect(isOver).toBe(false);
});
