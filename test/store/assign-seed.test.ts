import { expect, test } from 'vitest';
import { assignSeed, markSeed } from '../../src/store/assign-seed.js';
import { insertSeed } from '../../src/store/seeds.js';
import { auth, insertBareSeeds, UNKNOWN_IDS, seedOf, useStore } from './support.js';

const use = useStore();

test('sets single keys of the metadata and keeps the others', async () => {
  const id = await insertSeed(use.store, {
    authJson: auth('a'),
    pool: 'one',
    metadata: { kept: 1, moved: 1 },
  });
  expect(await assignSeed(use.store, id, { metadata: { moved: 2, added: [3] } })).toBe(true);
  const seed = await seedOf(use.store, id);
  expect(seed).toMatchObject({ poolKey: 'one', metadata: { kept: 1, moved: 2, added: [3] } });
  expect(seed.updatedAt).toBeInstanceOf(Date);
});

test.each(['a.b', '$set', '', 'nul\0'])('refuses the metadata key %j', async (key) => {
  const [id] = await insertBareSeeds(use.store, 1);
  await expect(assignSeed(use.store, id!, { metadata: { [key]: 1 } })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining(JSON.stringify(key)) as string,
  });
});

test.each(UNKNOWN_IDS)('the seed id %j has no effect', async (seedId) => {
  expect(await markSeed(use.store, seedId, 'dead')).toBe(false);
  expect(await assignSeed(use.store, seedId, { pool: 'x' })).toBe(false);
});
