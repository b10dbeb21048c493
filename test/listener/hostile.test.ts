import { expect, test } from 'vitest';
import { meetHostile } from './meet-hostile.js';

test('answers any bytes as documented, reveals nothing and leaves nothing open', async () => {
  const statuses = [...(await meetHostile(20_261_201, 240)).keys()];
  // They reach every door.
  for (const status of [200, 400, 401, 403, 404, 413, 415, 421, 431]) expect(statuses).toContain(status);
});
