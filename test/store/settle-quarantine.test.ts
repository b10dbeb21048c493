import { describe, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { markLeased, markSeed } from '../../src/store/assign-seed.js';
import { quarantineOf } from '../../src/store/collections.js';
import { releaseLease, renewLease, type Lease } from '../../src/store/leases.js';
import type { Store } from '../../src/store/mongo.js';
import { listQuarantine, quarantineAuth } from '../../src/store/quarantine.js';
import { restoreQuarantined } from '../../src/store/restore.js';
import { leaseForVerification } from '../../src/store/seed-verification.js';
import { insertSeed, listSeeds, readSeed, saveBack } from '../../src/store/seeds.js';
import { dismissQuarantined, settleSeed, unsettledSeeds } from '../../src/store/settle-quarantine.js';
import { auth, foreignRefresh, issued, lease, MINUTE, replacing, useStore } from './support.js';

const use = useStore();
const POOL = { pool: 'p' };
const newSeed = (authJson: Buffer) => insertSeed(use.store, { authJson, ...POOL });
const stored = async (seedId: string) => (await readSeed(use.store, seedId))?.authJson;
const acquire = () => acquireSeed(use.store, POOL, 'next/r', MINUTE);
const stateOf = async () => (await listSeeds(use.store))[0]?.state;

/** Whoever had the seed before its present holder saves. */
async function saveLate(seedId: string, late: Buffer): Promise<{ quarantineId: string; now: Lease }> {
  const before = await lease(use.store, { seedId }, 'late/r', -1);
  const now = await lease(use.store, { seedId }, 'now/r');
  const saved = await saveBack(use.store, before, late, { taskId: 'late' });
  if (saved.kind !== 'quarantined') throw new Error(saved.kind);
  return { ...saved, now };
}

describe('a seed with a credential in quarantine', () => {
  test('is leased with that credential when its tokens were issued later', async () => {
    const seedId = await newSeed(issued('spent', 100));
    const { now } = await saveLate(seedId, issued('newest', 200));
    await releaseLease(use.store, now);
    expect(await acquire()).toMatchObject({ kind: 'leased', lease: { seedId } });
    expect(await stored(seedId)).toEqual(issued('newest', 200));
    expect(await unsettledSeeds(use.store)).toEqual([]);
  });

  test('is leased as it is when those tokens were issued earlier, and keeps the record', async () => {
    const seedId = await newSeed(issued('1', 100));
    const { now } = await saveLate(seedId, issued('2', 200));
    await saveBack(use.store, now, issued('3', 300), { taskId: 'now' });
    await releaseLease(use.store, now);
    expect(await acquire()).toMatchObject({ kind: 'leased' });
    expect(await stored(seedId)).toEqual(issued('3', 300));
    expect(await listQuarantine(use.store, seedId)).toHaveLength(1);
  });

  test.each([
    ['tokens do not tell', auth('1'), auth('2')],
    ['only one tells', issued('1', 100), auth('2')],
    ['both were given out in one second', issued('1', 100), issued('2', 100)],
  ])('is not leased when %s, since a person decides', async (_, own, late) => {
    const seedId = await newSeed(own);
    const { now, quarantineId } = await saveLate(seedId, late);
    await releaseLease(use.store, now);
    expect(await acquire()).toEqual({ kind: 'busy' });
    expect(await stateOf()).toBe('quarantined');
    // Neither by name, nor to be verified, nor by a mark.
    expect(await acquireSeed(use.store, { seedId }, 'next/r', MINUTE)).toEqual({ kind: 'busy' });
    expect(await leaseForVerification(use.store, seedId, 'v', MINUTE)).toMatchObject({ kind: 'held' });
    await expect(markSeed(use.store, seedId, 'alive')).rejects.toMatchObject({ code: 'BadInput' });
    expect(await stored(seedId)).toEqual(own);
    expect(await restoreQuarantined(use.store, quarantineId, { force: true })).toMatchObject({
      kind: 'restored',
    });
    expect([await acquire(), await stored(seedId)]).toMatchObject([{ kind: 'leased' }, late]);
  });

  test('is leased again when the record is dropped', async () => {
    const seedId = await newSeed(auth('1'));
    const { now, quarantineId } = await saveLate(seedId, auth('2'));
    await releaseLease(use.store, now);
    expect(await settleSeed(use.store, seedId)).toBe('held');
    expect(await dismissQuarantined(use.store, quarantineId)).toBe(true);
    expect([await stateOf(), await acquire()]).toMatchObject(['free', { kind: 'leased' }]);
  });

  test('is held at once when nobody leases it, whoever comes next', async () => {
    const seedId = await newSeed(auth('1'));
    const late = await lease(use.store, { seedId }, 'late/r', -1);
    await releaseLease(use.store, await lease(use.store, { seedId }, 'now/r'));
    expect(await saveBack(use.store, late, auth('2'), { taskId: 'late' })).toMatchObject({
      kind: 'quarantined',
    });
    expect(await stateOf()).toBe('quarantined');
  });

  test('lets the next seed of its pool be leased', async () => {
    const seedId = await newSeed(auth('1'));
    const { now } = await saveLate(seedId, auth('2'));
    await releaseLease(use.store, now);
    const other = await newSeed(auth('other'));
    expect(await acquire()).toMatchObject({ kind: 'leased', lease: { seedId: other } });
  });

  test('is leased as it is when the record is of another account', async () => {
    const of = (account_id: string, token: string) =>
      Buffer.from(JSON.stringify({ tokens: { refresh_token: token, account_id } }));
    const seedId = await newSeed(of('a', '1'));
    const { now } = await saveLate(seedId, of('b', '2'));
    await releaseLease(use.store, now);
    expect(await acquire()).toMatchObject({ kind: 'leased' });
    expect(await stored(seedId)).toEqual(of('a', '1'));
  });

  test('comes alive again with the newer credential, though the older was refused', async () => {
    const seedId = await newSeed(issued('spent', 100));
    const { now } = await saveLate(seedId, issued('newest', 200));
    await markLeased(use.store, now, 'dead');
    await releaseLease(use.store, now);
    expect(await settleSeed(use.store, seedId)).toBe('fit');
    expect([await stateOf(), await acquire()]).toMatchObject(['free', { kind: 'leased' }]);
  });

  test.each(['insertOne', 'updateOne', 'findOneAndUpdate'])(
    'is whole after a crash before any %s of the settlement',
    async (method) => {
      const seedId = await newSeed(issued('spent', 100));
      const { now } = await saveLate(seedId, issued('newest', 200));
      await releaseLease(use.store, now);
      for (let survives = 0; survives < 6; survives++) {
        let calls = 0;
        const collection = (name: string) => {
          const target = use.store.db.collection(name);
          const call = (...args: unknown[]) =>
            calls++ < survives
              ? (target[method as 'insertOne'] as (...given: unknown[]) => unknown).apply(target, args)
              : Promise.reject(new Error('killed here'));
          return replacing(target, { [method]: call });
        };
        const crashing: Store = { ...use.store, db: replacing(use.store.db, { collection }) };
        await acquireSeed(crashing, POOL, `c${survives}/r`, -1).catch(() => undefined);
      }
      expect(await acquire()).toMatchObject({ kind: 'leased', lease: { seedId } });
      expect(await stored(seedId)).toEqual(issued('newest', 200));
    },
  );
});

test('no seed is examined when quarantine holds nothing to judge', async () => {
  await newSeed(auth('1'));
  const collection = (name: string) => {
    const target = use.store.db.collection(name);
    if (!name.endsWith('_codex_seeds')) return target;
    return replacing(target, { find: () => expect.fail('seeds were looked at') });
  };
  const store: Store = { ...use.store, db: replacing(use.store.db, { collection }) };
  expect(await unsettledSeeds(store)).toEqual([]);
});

test('records of an earlier version without a verdict count as not judged', async () => {
  const seedId = await newSeed(issued('1', 100));
  const lost = { seedId, holder: 'late/r', leaseEpoch: 0 };
  await quarantineAuth(use.store, lost, issued('2', 200), { taskId: 'late', reason: 'lost' });
  await quarantineOf(use.store).updateMany({}, { $unset: { settled: 1 } });
  expect(await unsettledSeeds(use.store)).toEqual([seedId]);
  expect(await acquire()).toMatchObject({ kind: 'leased' });
  expect(await stored(seedId)).toEqual(issued('2', 200));
});

test('a task whose lease is lost cannot mark a seed', async () => {
  const seedId = await newSeed(auth('1'));
  const before = await lease(use.store, { seedId }, 'before/r', -1);
  const now = await lease(use.store, { seedId }, 'now/r');
  expect(await markLeased(use.store, before, 'dead')).toBe(false);
  expect(await renewLease(use.store, now, MINUTE)).toBe(true);
  expect(await stateOf()).toBe('leased');
  await releaseLease(use.store, now);
  expect(await stateOf()).toBe('free');
});

describe('the last save of a task', () => {
  const confirm = (held: Lease, authJson: Buffer) =>
    saveBack(use.store, held, authJson, { taskId: 't', confirms: true });

  test('restores what another client replaced by an older one', async () => {
    const seedId = await newSeed(issued('old', 100));
    const held = await lease(use.store, { seedId }, 't/r');
    await saveBack(use.store, held, issued('new', 200), { taskId: 't' });
    await foreignRefresh(use.store, seedId, issued('old', 100));
    expect(await confirm(held, issued('new', 200))).toMatchObject({ kind: 'saved' });
    expect(await stored(seedId)).toEqual(issued('new', 200));
  });

  test('leaves what another client refreshed later, and keeps nothing aside', async () => {
    const seedId = await newSeed(issued('old', 100));
    const held = await lease(use.store, { seedId }, 't/r');
    await saveBack(use.store, held, issued('new', 200), { taskId: 't' });
    await foreignRefresh(use.store, seedId, issued('newer', 300));
    expect(await confirm(held, issued('new', 200))).toEqual({ kind: 'unchanged' });
    expect(await stored(seedId)).toEqual(issued('newer', 300));
    expect(await listQuarantine(use.store)).toEqual([]);
  });

  test('quarantines nothing that the seed had and its next holder refreshed', async () => {
    const seedId = await newSeed(auth('1'));
    const held = await lease(use.store, { seedId }, 't/r', -1);
    await saveBack(use.store, held, auth('2'), { taskId: 't' });
    const next = await lease(use.store, { seedId }, 'next/r');
    await saveBack(use.store, next, auth('3'), { taskId: 'next' });
    expect(await confirm(held, auth('2'))).toEqual({ kind: 'unchanged' });
    expect(await listQuarantine(use.store)).toEqual([]);
  });
});
