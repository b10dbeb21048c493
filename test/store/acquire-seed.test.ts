import { ObjectId } from 'mongodb';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { assignSeed, markSeed } from '../../src/store/assign-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { holderOf } from '../../src/store/holders.js';
import { reapLeases, releaseLease, renewLease } from '../../src/store/leases.js';
import { databaseNow } from '../../src/store/mongo.js';
import { insertSeed } from '../../src/store/seeds.js';
import { acquireInTurn } from '../../src/store/waiters.js';
import {
  auth,
  insertBareSeeds,
  UNKNOWN_IDS,
  foreignAcquire,
  lease,
  losing,
  MINUTE,
  seedOf,
  useStore,
} from './support.js';

const use = useStore();
const POOL = { pool: 'main' };

async function insertSeeds(count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    ids.push(await insertSeed(use.store, { authJson: auth(`token-${i}`), pool: POOL.pool }));
  }
  return ids;
}

afterEach(() => {
  vi.useRealTimers();
});

describe('acquireSeed', () => {
  test('gives 50 of 80 concurrent calls a seed of 50 each, and refuses 30', async () => {
    const ids = await insertBareSeeds(use.store, 50);
    const results = await Promise.all(
      Array.from({ length: 80 }, (_, i) => acquireSeed(use.store, POOL, `task-${i}`, MINUTE)),
    );
    const leases = results.flatMap((result) => (result.kind === 'leased' ? [result.lease] : []));
    expect(new Set(leases.map(({ seedId }) => seedId))).toEqual(new Set(ids));
    expect(leases).toHaveLength(50);
    expect(results.filter(({ kind }) => kind === 'busy')).toHaveLength(30);
    for (const { seedId, holder, leaseEpoch } of leases) {
      expect(await seedOf(use.store, seedId)).toMatchObject({ lease: { holder }, leaseEpoch });
    }
  });

  test('writes holder, end, time and epoch, and changes nothing else', async () => {
    const [id] = await insertSeeds(1);
    const before = await seedOf(use.store, id!);
    const from = await databaseNow(use.store);
    expect(await lease(use.store, POOL, 'task-1')).toEqual({ seedId: id, holder: 'task-1', leaseEpoch: 1 });
    const { lease: written, lastLeasedAt, leaseEpoch, ...rest } = await seedOf(use.store, id!);
    expect(rest).toEqual(before);
    expect(leaseEpoch).toBe(1);
    expect(Object.keys(written!)).toEqual(['holder', 'expiresAt']);
    expect(lastLeasedAt!.getTime()).toBeGreaterThanOrEqual(from.getTime());
    expect(written!.expiresAt.getTime() - lastLeasedAt!.getTime()).toBe(MINUTE);
  });

  test('takes seeds in turn: never leased ones first, then the longest ago', async () => {
    const [a, b, c] = await insertBareSeeds(use.store, 3);
    const turn = async () => {
      const got = await lease(use.store, POOL, 'task');
      await releaseLease(use.store, got);
      return got.seedId;
    };
    await seedsOf(use.store).updateOne({ _id: new ObjectId(a) }, { $set: { lastLeasedAt: new Date(2000) } });
    await seedsOf(use.store).updateOne({ _id: new ObjectId(b) }, { $set: { lastLeasedAt: new Date(1000) } });
    expect([await turn(), await turn(), await turn()]).toEqual([c, b, a]);
  });

  test('skips dead seeds and those of other pools', async () => {
    const [dead, other, good] = await insertBareSeeds(use.store, 3);
    expect(await markSeed(use.store, dead!, 'dead')).toBe(true);
    expect(await assignSeed(use.store, other!, { pool: 'elsewhere' })).toBe(true);
    expect((await lease(use.store, POOL, 'task-1')).seedId).toBe(good);
    expect(await acquireSeed(use.store, POOL, 'task-2', MINUTE)).toEqual({ kind: 'busy' });
    await markSeed(use.store, dead!, 'alive');
    expect((await lease(use.store, POOL, 'task-2')).seedId).toBe(dead);
  });

  test('takes an expired lease over with a new epoch', async () => {
    const [id] = await insertBareSeeds(use.store, 1);
    const old = await lease(use.store, POOL, 'gone', -1);
    const fresh = await lease(use.store, POOL, 'task');
    expect(fresh).toEqual({ seedId: id, holder: 'task', leaseEpoch: 2 });
    expect(await renewLease(use.store, old, MINUTE)).toBe(false);
    expect(await releaseLease(use.store, old)).toBe(false);
  });

  test('respects a living lease of the Python package', async () => {
    const [id] = await insertBareSeeds(use.store, 1);
    await foreignAcquire(use.store, id!, 'python');
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
  });

  test('waits for the reset of a seed at its usage limit, then leases it', async () => {
    const [id] = await insertBareSeeds(use.store, 1);
    const now = (await databaseNow(use.store)).getTime();
    await assignSeed(use.store, id!, { metadata: { limitedUntil: new Date(now + MINUTE) } });
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
    expect(await acquireSeed(use.store, { seedId: id! }, 'task', MINUTE)).toEqual({ kind: 'busy' });
    await assignSeed(use.store, id!, { metadata: { limitedUntil: new Date(now - 1) } });
    expect((await lease(use.store, POOL, 'task')).seedId).toBe(id);
  });

  test('gives a repeated call its own seed again, with an epoch that ends the first', async () => {
    await insertBareSeeds(use.store, 3);
    const first = await lease(use.store, POOL, 'task');
    const second = await lease(use.store, POOL, 'task');
    expect(second).toEqual({ ...first, leaseEpoch: first.leaseEpoch + 1 });
    expect(await renewLease(use.store, first, MINUTE)).toBe(false);
    expect(await renewLease(use.store, second, MINUTE)).toBe(true);
    const byId = await lease(use.store, { seedId: first.seedId }, 'task');
    expect(byId.leaseEpoch).toBe(3);
  });

  test('gives a holder whose lease ran out untaken the same seed again', async () => {
    await insertBareSeeds(use.store, 3);
    const first = await lease(use.store, POOL, 'task', -1);
    expect((await lease(use.store, POOL, 'task')).seedId).toBe(first.seedId);
  });

  test('looks again when a seed becomes free', async () => {
    const [id] = await insertBareSeeds(use.store, 1);
    const result = await acquireSeed(losing(use.store, 5), POOL, 'task', MINUTE);
    expect(result).toMatchObject({ kind: 'leased', lease: { seedId: id } });
  });

  test('counts a pool as busy when every race is lost', async () => {
    await insertBareSeeds(use.store, 1);
    expect(await acquireSeed(losing(use.store, 100), POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
  });

  test('compares lifetimes by the clock of the database, not of this host', async () => {
    const [id] = await insertBareSeeds(use.store, 1);
    const held = await lease(use.store, POOL, 'other');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60 * MINUTE });
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
    expect(await reapLeases(use.store)).toBe(0);
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
    const { lease: written } = await seedOf(use.store, id!);
    expect(written!.expiresAt.getTime()).toBeLessThan(Date.now() - 50 * MINUTE);
  });
});

describe('acquireSeed without a seed to lease', () => {
  test('reports an empty pool', async () => {
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: expect.stringContaining('Pool "main" has no seed') as string,
    });
  });

  test('names each seed of a pool of dead ones', async () => {
    const ids = await insertBareSeeds(use.store, 2);
    for (const id of ids) await markSeed(use.store, id, 'dead');
    const result = await acquireSeed(use.store, POOL, 'task', MINUTE);
    expect(result.kind).toBe('none');
    for (const id of ids) expect(JSON.stringify(result)).toContain(`${id} is dead`);
    expect(await acquireSeed(use.store, { seedId: ids[0]! }, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: `Seed ${ids[0]} is dead; log in again`,
    });
  });

  test.each(UNKNOWN_IDS)('reports the unknown seed id %j', async (seedId) => {
    expect(await acquireSeed(use.store, { seedId }, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: `Seed ${JSON.stringify(seedId)} is unknown`,
    });
  });
});

describe('a lease of an earlier assignment of the same task', () => {
  const runId = '11111111-2222-4333-8444-555555555555';
  const assignmentOf = (taskId: string, n: number) => ({
    taskId,
    runId,
    assignmentId: `99999999-8888-4777-8666-00000000000${n}`,
  });

  test('is taken over with a new epoch, while another task’s is not', async () => {
    const [mine, others] = [
      await insertSeed(use.store, { authJson: auth('mine'), pool: 'p' }),
      await insertSeed(use.store, { authJson: auth('others'), pool: 'p' }),
    ];
    const before = assignmentOf('t/1', 1);
    await lease(use.store, { seedId: mine }, holderOf(before));
    await lease(use.store, { seedId: others }, holderOf(assignmentOf('t/1/2', 1)));
    const next = assignmentOf('t/1', 2);
    expect(await acquireInTurn(use.store, { pool: 'p' }, next, MINUTE)).toEqual({
      kind: 'leased',
      lease: { seedId: mine, holder: holderOf(next), leaseEpoch: 2 },
    });
    expect(await acquireInTurn(use.store, { pool: 'p' }, assignmentOf('another', 1), MINUTE)).toEqual({
      kind: 'busy',
    });
  });
});
