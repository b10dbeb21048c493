import { expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { reapLeases, releaseLease, renewLease } from '../../src/store/leases.js';
import { insertBareSeeds, UNKNOWN_IDS, foreignAcquire, lease, MINUTE, seedOf, useStore } from './support.js';

const use = useStore();
const POOL = { pool: 'main' };

test('an expired lease that nobody took is renewed', async () => {
  await insertBareSeeds(use.store, 1);
  const held = await lease(use.store, POOL, 'task', -1);
  expect(await renewLease(use.store, held, MINUTE)).toBe(true);
  expect(await acquireSeed(use.store, POOL, 'other', MINUTE)).toEqual({ kind: 'busy' });
});

test('another holder or another epoch is refused and changes nothing', async () => {
  const [id] = await insertBareSeeds(use.store, 1);
  const held = await lease(use.store, POOL, 'task');
  const before = await seedOf(use.store, id!);
  for (const wrong of [
    { ...held, holder: 'other' },
    { ...held, leaseEpoch: held.leaseEpoch + 1 },
  ]) {
    expect(await renewLease(use.store, wrong, 60 * MINUTE)).toBe(false);
    expect(await releaseLease(use.store, wrong)).toBe(false);
  }
  expect(await seedOf(use.store, id!)).toEqual(before);
});

test('a lease replaced by a foreign client is that client’s, though the epoch is the same', async () => {
  const [id] = await insertBareSeeds(use.store, 1);
  const held = await lease(use.store, POOL, 'task');
  await foreignAcquire(use.store, id!, 'python');
  expect((await seedOf(use.store, id!)).leaseEpoch).toBe(held.leaseEpoch);
  expect(await renewLease(use.store, held, MINUTE)).toBe(false);
  expect(await releaseLease(use.store, held)).toBe(false);
  expect((await seedOf(use.store, id!)).lease).toMatchObject({ holder: 'python' });
});

test('a released seed has a null lease and is free', async () => {
  const [id] = await insertBareSeeds(use.store, 1);
  const held = await lease(use.store, POOL, 'task');
  expect(await releaseLease(use.store, held)).toBe(true);
  expect(await releaseLease(use.store, held)).toBe(false);
  expect((await seedOf(use.store, id!)).lease).toBeNull();
  await lease(use.store, POOL, 'other');
});

test('reaping clears expired leases and counts them', async () => {
  const [a, b, c] = await insertBareSeeds(use.store, 3);
  await lease(use.store, { seedId: a! }, 'gone', -1);
  await lease(use.store, { seedId: b! }, 'here');
  expect(await reapLeases(use.store)).toBe(1);
  expect(await reapLeases(use.store)).toBe(0);
  expect((await seedOf(use.store, a!)).lease).toBeNull();
  expect((await seedOf(use.store, b!)).lease).toMatchObject({ holder: 'here' });
  expect((await seedOf(use.store, c!)).lease).toBeUndefined();
});

test.each(UNKNOWN_IDS)('a release of the seed id %j does nothing', async (seedId) => {
  const held = { seedId, holder: 'task', leaseEpoch: 1 };
  expect(await renewLease(use.store, held, MINUTE)).toBe(false);
  expect(await releaseLease(use.store, held)).toBe(false);
});
