import { expect, test } from 'vitest';
import { elapse } from '../support/elapse.js';
import { exportOut } from '../../src/store/export-seed.js';
import { reapLeases, renewLease } from '../../src/store/leases.js';
import { restoreCleared, retakeLease } from '../../src/store/retake-lease.js';
import { fingerprint } from '../../src/store/seed-archive.js';
import { insertSeed } from '../../src/store/seeds.js';
import { auth, lease, seedOf, useStore } from './support.js';

const use = useStore();
const TTL_MS = 60_000;

async function leased() {
  const seedId = await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  return lease(use.store, { seedId }, 't1/r1/s1', 1);
}

test('an expired lease that nobody took is retaken with the next epoch', async () => {
  const held = await leased();
  const again = await retakeLease(use.store, held, 'host', TTL_MS);
  expect(again).toEqual({ ...held, leaseEpoch: held.leaseEpoch + 1 });
  const seed = await seedOf(use.store, held.seedId);
  expect(seed.lease!.expiresAt.getTime()).toBeGreaterThan(Date.now() + TTL_MS / 2);
  expect(seed.lease!.holder).toBe(held.holder);
  expect(await renewLease(use.store, held, TTL_MS)).toBe(false);
  expect(await renewLease(use.store, again!, TTL_MS)).toBe(true);
});

test('only the host that made a call recognises it when its answer was lost', async () => {
  const held = await leased();
  await retakeLease(use.store, held, 'host', TTL_MS);
  expect(await retakeLease(use.store, held, 'other', TTL_MS)).toBeNull();
  expect(await retakeLease(use.store, held, 'host', TTL_MS)).toMatchObject({ leaseEpoch: 3 });
});

test('a lease adopted by another process of the host is retaken only after its end', async () => {
  const held = await leased();
  const older = { id: 'older', isTakingUp: false };
  const newer = { id: 'newer', isTakingUp: true };
  expect(await retakeLease(use.store, held, 'host', TTL_MS, newer)).toMatchObject({ leaseEpoch: 2 });
  expect(await retakeLease(use.store, held, 'host', TTL_MS, older)).toBeNull();
  // Its answer was lost; then it ended before it wrote down what it has.
  expect(await retakeLease(use.store, held, 'host', TTL_MS, { ...newer, isTakingUp: false })).toMatchObject({
    leaseEpoch: 3,
  });
  expect(await retakeLease(use.store, held, 'host', TTL_MS, { id: 'next', isTakingUp: true })).toMatchObject({
    leaseEpoch: 4,
  });
});

test('a seed that another held in between is not retaken, even when released', async () => {
  const held = await leased();
  const other = await lease(use.store, { seedId: held.seedId }, 'other/r/s', TTL_MS);
  expect(await retakeLease(use.store, held, 'host', TTL_MS)).toBeNull();
  await use.store.db.collection('optio_codex_seeds').updateOne({}, { $set: { lease: null } });
  expect(await retakeLease(use.store, held, 'host', TTL_MS)).toBeNull();
  expect((await seedOf(use.store, held.seedId)).leaseEpoch).toBe(other.leaseEpoch);
});

test('a lease that the same holder acquired again in between stays with that one', async () => {
  const held = await leased();
  await retakeLease(use.store, held, 'host', TTL_MS);
  await lease(use.store, { seedId: held.seedId }, held.holder, TTL_MS);
  expect(await retakeLease(use.store, held, 'host', TTL_MS)).toBeNull();
});

test('an expired and cleared lease is retaken, unless the credential has changed', async () => {
  const held = await leased();
  await elapse(20);
  await reapLeases(use.store);
  expect((await seedOf(use.store, held.seedId)).lease).toBeNull();
  expect(await restoreCleared(use.store, held, fingerprint(auth('another')), TTL_MS)).toBe(false);
  expect(await restoreCleared(use.store, held, null, TTL_MS)).toBe(false);
  expect(await restoreCleared(use.store, held, fingerprint(auth('t')), TTL_MS)).toBe(true);
  expect(await retakeLease(use.store, held, 'host', TTL_MS)).toMatchObject({ leaseEpoch: 2 });
});

test('a cleared lease of an exported seed is not retaken, since it is used elsewhere', async () => {
  const held = await leased();
  await elapse(20);
  await reapLeases(use.store);
  expect(await exportOut(use.store, held.seedId)).toMatchObject({ kind: 'exported' });
  expect(await restoreCleared(use.store, held, fingerprint(auth('t')), TTL_MS)).toBe(false);
  expect((await seedOf(use.store, held.seedId)).lease).toBeNull();
});
