import { expect, test } from 'vitest';
import { assignLeased, assignSeed, markSeed } from '../../src/store/assign-seed.js';
import { releaseLease } from '../../src/store/leases.js';
import { insertSeed } from '../../src/store/seeds.js';
import { auth, insertBareSeeds, lease, UNKNOWN_IDS, seedOf, useStore } from './support.js';

const use = useStore();

test('assignSeed sets single keys of the metadata and keeps the others', async () => {
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

test.each(['a.b', '$set', '', 'nul\0'])('assignSeed refuses the metadata key %j', async (key) => {
  const [id] = await insertBareSeeds(use.store, 1);
  await expect(assignSeed(use.store, id!, { metadata: { [key]: 1 } })).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringContaining(JSON.stringify(key)) as string,
  });
});

test.each(UNKNOWN_IDS)('assignSeed does nothing for the seed id %j', async (seedId) => {
  expect(await markSeed(use.store, seedId, 'dead')).toBe(false);
  expect(await assignSeed(use.store, seedId, { pool: 'x' })).toBe(false);
});

test('a capture moves no pooled seed, and changes nothing without its lease', async () => {
  const pooled = await insertSeed(use.store, { authJson: auth('pooled'), pool: 'shared' });
  const loose = await insertSeed(use.store, { authJson: auth('loose') });
  const [first, second] = [
    await lease(use.store, { seedId: pooled }, 't/r/s'),
    await lease(use.store, { seedId: loose }, 't/r/s'),
  ];
  const mine = { pool: 'mine', metadata: { by: 't' } };
  expect(await assignLeased(use.store, first, mine)).toEqual({ pool: 'shared' });
  expect(await assignLeased(use.store, second, mine)).toEqual({ pool: 'mine' });
  expect(await seedOf(use.store, pooled)).toMatchObject({ poolKey: 'shared', metadata: { by: 't' } });
  await releaseLease(use.store, first);
  expect(await assignLeased(use.store, first, { ...mine, metadata: { by: 'late' } })).toBeNull();
  expect(await seedOf(use.store, pooled)).toMatchObject({ metadata: { by: 't' } });
});
