import { expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { markSeed } from '../../src/store/assign-seed.js';
import { objectIdOf, seedsOf } from '../../src/store/collections.js';
import { releaseLease } from '../../src/store/leases.js';
import { firstLimit, refusalsInARow, releaseLimited } from '../../src/store/limit-seed.js';
import { databaseNow } from '../../src/store/mongo.js';
import { leaseForVerification, recordFinding } from '../../src/store/seed-verification.js';
import { insertSeed } from '../../src/store/seeds.js';
import { acquireInTurn, wakeableWaiters } from '../../src/store/waiters.js';
import { auth, lease, MINUTE, seedOf, useStore } from './support.js';

const use = useStore();
const HOUR = 60 * MINUTE;
let made = 0;

const newSeed = () => insertSeed(use.store, { authJson: auth(`t${++made}`), pool: 'p' });
const fromNow = async (ms: number) => new Date((await databaseNow(use.store)).getTime() + ms);

/** A seed whose account was refused for the `times`th time, and is held out for so long from now. */
async function refusedSeed(heldMs: number, times = 1): Promise<string> {
  const seedId = await newSeed();
  const limit = { kind: 'unknown', limitId: 'codex', times };
  await releaseLimited(use.store, await lease(use.store, { seedId }, 't/r'), await fromNow(heldMs), limit);
  return seedId;
}

test('a refusal soon after a hold-out is the next in a row, one long after it is not', async () => {
  expect(await refusalsInARow(use.store, await newSeed())).toMatchObject({ times: 0 });
  const seedId = await refusedSeed(HOUR, 3);
  expect(await refusalsInARow(use.store, seedId)).toMatchObject({ times: 3 });
  /** As if all of it had been so much earlier. */
  const back = async (ms: number) => {
    const { metadata } = await seedOf(use.store, seedId);
    const { limitedUntil, usageLimit } = metadata as { limitedUntil: Date; usageLimit: { at: Date } };
    const earlier = (date: Date) => new Date(date.getTime() - ms);
    const set = {
      'metadata.limitedUntil': earlier(limitedUntil),
      'metadata.usageLimit.at': earlier(usageLimit.at),
    };
    await seedsOf(use.store).updateOne({ _id: objectIdOf(seedId)! }, { $set: set });
  };
  await back(1.9 * HOUR);
  expect(await refusalsInARow(use.store, seedId)).toMatchObject({ times: 3 });
  await back(0.2 * HOUR);
  expect(await refusalsInARow(use.store, seedId)).toMatchObject({ times: 0 });
});

test('a pool says when the first of its accounts is back, and whether all are out', async () => {
  const { store } = use;
  expect(await firstLimit(store, { pool: 'p' })).toBeNull();
  const dead = await refusedSeed(MINUTE);
  await markSeed(store, dead, 'dead');
  expect(await firstLimit(store, { pool: 'p' })).toBeNull();
  await refusedSeed(3 * HOUR);
  const first = await refusedSeed(HOUR);
  const until = (await seedOf(store, first)).metadata!['limitedUntil'] as Date;
  expect(await firstLimit(store, { pool: 'p' })).toEqual({ until, isAll: true });
  await newSeed();
  expect(await firstLimit(store, { pool: 'p' })).toEqual({ until, isAll: false });
  expect(await firstLimit(store, { seedId: first })).toEqual({ until, isAll: true });
});

test('a seed that a verification finds with room is leased again, and who waits for it is told', async () => {
  const { store } = use;
  const seedId = await refusedSeed(5 * 24 * HOUR, 2);
  const waiter = { taskId: 'w', runId: 'r', stayId: 's' };
  expect(await acquireInTurn(store, { pool: 'p' }, waiter, MINUTE)).toEqual({ kind: 'busy' });
  const verify = async (finding: { account: object | null; hasRoom?: boolean }) => {
    const verifying = await leaseForVerification(store, seedId, 'verify-x', MINUTE);
    if (verifying.kind !== 'leased') throw new Error(verifying.kind);
    await recordFinding(store, verifying.lease, {
      verdict: 'alive',
      reason: 'refreshed',
      limitedUntil: null,
      ...finding,
    });
    await releaseLease(store, verifying.lease);
  };
  // Nothing was read, or what was read is full.
  await verify({ account: null });
  await verify({ account: { windows: [{ label: '5h', pct: 100 }] } });
  await verify({ account: { windows: [{ label: '5h', pct: 3 }] }, hasRoom: false });
  expect(await wakeableWaiters(store)).toEqual([]);
  await verify({ account: { windows: [{ label: '5h', pct: 3 }] } });
  expect((await seedOf(store, seedId)).metadata).not.toHaveProperty('usageLimit');
  expect(await wakeableWaiters(store)).toMatchObject([{ taskId: 'w' }]);
  expect(await acquireSeed(store, { pool: 'p' }, 'n/1', MINUTE)).toMatchObject({ kind: 'leased' });
});
