import { expect, test } from 'vitest';
import { closeInOrder } from '../../src/worker/close-in-order.js';

test('parts close once, the newest first, and one that fails keeps none of the others open', async () => {
  const closed: string[] = [];
  const failures: string[] = [];
  const openings = closeInOrder((name, error) => failures.push(`${name}: ${String(error)}`));
  const part = { id: 1 };
  expect(openings.opened('first', part, ({ id }) => void closed.push(`first ${id}`))).toBe(part);
  openings.opened('second', part, () => Promise.reject(new Error('stuck')));
  openings.opened('third', part, async () => {
    await Promise.resolve();
    closed.push('third');
  });
  await openings.close();
  await openings.close();
  expect(closed).toEqual(['third', 'first 1']);
  expect(failures).toEqual(['second: Error: stuck']);
});
