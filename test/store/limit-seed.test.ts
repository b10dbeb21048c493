import { describe, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { assignSeed, markSeed } from '../../src/store/assign-seed.js';
import { objectIdOf, seedsOf } from '../../src/store/collections.js';
import { releaseLease } from '../../src/store/leases.js';
import { firstLimit, refusalsInARow, releaseLimited } from '../../src/store/limit-seed.js';
import { databaseNow } from '../../src/store/mongo.js';
import { noteUsage } from '../../src/store/note-usage.js';
import { findSeedInfo } from '../../src/store/seed-info.js';
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

test('a refusal soon after a hold-out counts as consecutive, a much later one does not', async () => {
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

test('a pool reports when its first account is back, and whether all are out', async () => {
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

test('a seed that a verification finds with quota is leased again at once', async () => {
  const { store } = use;
  const seedId = await refusedSeed(5 * 24 * HOUR, 2);
  const waiter = { taskId: 'w', runId: 'r', assignmentId: 's' };
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

describe('an account report of a task', () => {
  const full = async (ms: number) => ({ until: await fromNow(ms), limitId: 'codex' });
  const account = { summary: 'a@b', windows: [{ label: '5h', pct: 100 }] };
  const described = (known: object | null) => ({ ...known, ...account });
  const heldOut = async (seedId: string) => (await seedOf(use.store, seedId)).metadata?.['limitedUntil'];

  test('is recorded, and a full window keeps the seed from leases until its end', async () => {
    const { store } = use;
    const seedId = await newSeed();
    const mine = await lease(store, { seedId }, 't/r');
    const { until, limitId } = await full(HOUR);
    expect(await noteUsage(store, mine, { describe: described, full: { until, limitId } })).toBe(true);
    expect(await findSeedInfo(store, seedId)).toMatchObject({
      usage: { summary: 'a@b' },
      limitedUntil: until,
      limit: { kind: 'reset', limitId, times: 0 },
    });
    await releaseLease(store, mine);
    expect(await acquireSeed(store, { pool: 'p' }, 'n/1', MINUTE)).toEqual({ kind: 'busy' });
    expect(await firstLimit(store, { pool: 'p' })).toEqual({ until, isAll: true });
    // It is no refusal.
    expect(await refusalsInARow(store, seedId)).toMatchObject({ times: 0 });
  });

  test('ends only what a full window began', async () => {
    const { store } = use;
    const seedId = await newSeed();
    const mine = await lease(store, { seedId }, 't/r');
    await noteUsage(store, mine, { describe: described, full: await full(HOUR) });
    await noteUsage(store, mine, { describe: described, full: null });
    expect(await heldOut(seedId)).toBeUndefined();
    const wanted = await fromNow(3 * HOUR);
    await assignSeed(store, seedId, { metadata: { limitedUntil: wanted } });
    await noteUsage(store, mine, { describe: described, full: await full(HOUR) });
    await noteUsage(store, mine, { describe: described, full: null });
    expect(await heldOut(seedId)).toEqual(wanted);
  });

  test('keeps what only a verification reads, and changes no seed that another holds', async () => {
    const { store } = use;
    const seedId = await newSeed();
    await assignSeed(store, seedId, { metadata: { accounts: [{ lifetime_tokens: 7 }] } });
    const mine = await lease(store, { seedId }, 't/r');
    expect(await noteUsage(store, mine, { describe: described, full: null })).toBe(true);
    expect((await findSeedInfo(store, seedId))?.usage).toMatchObject({ lifetimeTokens: 7 });
    await releaseLease(store, mine);
    await lease(store, { seedId }, 'other/r');
    expect(await noteUsage(store, mine, { describe: described, full: await full(HOUR) })).toBe(false);
    expect(await heldOut(seedId)).toBeUndefined();
  });
});
