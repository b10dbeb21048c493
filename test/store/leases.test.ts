import { ObjectId } from 'mongodb';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { seedsOf } from '../../src/store/collections.js';
import {
  acquireSeed,
  assignSeed,
  markSeed,
  reapLeases,
  releaseLease,
  renewLease,
} from '../../src/store/leases.js';
import { databaseNow } from '../../src/store/mongo.js';
import { insertSeed } from '../../src/store/seeds.js';
import { auth, foreignAcquire, lease, losing, MINUTE, seedOf, useStore } from './support.js';

const use = useStore();
const POOL = { pool: 'main' };
const UNKNOWN_IDS = ['', 'nonsense', 'twelve bytes', 'z'.repeat(24), 'a'.repeat(24), '../../etc/passwd'];

async function insertSeeds(count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    ids.push(await insertSeed(use.store, { authJson: auth(`token-${i}`), pool: POOL.pool }));
  }
  return ids;
}

/** Documents are enough where no blob is read. */
async function insertBareSeeds(count: number): Promise<string[]> {
  const seeds = Array.from({ length: count }, () => ({
    _id: new ObjectId(),
    createdAt: new Date(),
    blobId: new ObjectId(),
    manifestVersion: 1,
    poolKey: POOL.pool,
  }));
  await seedsOf(use.store).insertMany(seeds);
  return seeds.map(({ _id }) => _id.toHexString());
}

afterEach(() => {
  vi.useRealTimers();
});

describe('acquire', () => {
  test('of 80 at once on 50 seeds, 50 get a seed each and 30 are refused', async () => {
    const ids = await insertBareSeeds(50);
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

  test('goes round the pool: never leased first, then the longest ago', async () => {
    const [a, b, c] = await insertBareSeeds(3);
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
    const [dead, other, good] = await insertBareSeeds(3);
    expect(await markSeed(use.store, dead!, 'dead')).toBe(true);
    expect(await assignSeed(use.store, other!, { pool: 'elsewhere' })).toBe(true);
    expect((await lease(use.store, POOL, 'task-1')).seedId).toBe(good);
    expect(await acquireSeed(use.store, POOL, 'task-2', MINUTE)).toEqual({ kind: 'busy' });
    await markSeed(use.store, dead!, 'alive');
    expect((await lease(use.store, POOL, 'task-2')).seedId).toBe(dead);
  });

  test('takes an expired lease over with a new epoch', async () => {
    const [id] = await insertBareSeeds(1);
    const old = await lease(use.store, POOL, 'gone', -1);
    const fresh = await lease(use.store, POOL, 'task');
    expect(fresh).toEqual({ seedId: id, holder: 'task', leaseEpoch: 2 });
    expect(await renewLease(use.store, old, MINUTE)).toBe(false);
    expect(await releaseLease(use.store, old)).toBe(false);
  });

  test('a lease of the Python package counts while it lives', async () => {
    const [id] = await insertBareSeeds(1);
    await foreignAcquire(use.store, id!, 'python');
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
  });

  test('a seed at its usage limit waits for the reset, then is free again', async () => {
    const [id] = await insertBareSeeds(1);
    const now = (await databaseNow(use.store)).getTime();
    await assignSeed(use.store, id!, { metadata: { limitedUntil: new Date(now + MINUTE) } });
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
    expect(await acquireSeed(use.store, { seedId: id! }, 'task', MINUTE)).toEqual({ kind: 'busy' });
    await assignSeed(use.store, id!, { metadata: { limitedUntil: new Date(now - 1) } });
    expect((await lease(use.store, POOL, 'task')).seedId).toBe(id);
  });

  test('a repeated call gets its own seed again, with an epoch that ends the first', async () => {
    await insertBareSeeds(3);
    const first = await lease(use.store, POOL, 'task');
    const second = await lease(use.store, POOL, 'task');
    expect(second).toEqual({ ...first, leaseEpoch: first.leaseEpoch + 1 });
    expect(await renewLease(use.store, first, MINUTE)).toBe(false);
    expect(await renewLease(use.store, second, MINUTE)).toBe(true);
    const byId = await lease(use.store, { seedId: first.seedId }, 'task');
    expect(byId.leaseEpoch).toBe(3);
  });

  test('a holder whose lease ran out untaken gets the same seed again', async () => {
    await insertBareSeeds(3);
    const first = await lease(use.store, POOL, 'task', -1);
    expect((await lease(use.store, POOL, 'task')).seedId).toBe(first.seedId);
  });

  test('looks again when a seed is free after all', async () => {
    const [id] = await insertBareSeeds(1);
    const result = await acquireSeed(losing(use.store, 5), POOL, 'task', MINUTE);
    expect(result).toMatchObject({ kind: 'leased', lease: { seedId: id } });
  });

  test('a pool on which every race is lost counts as busy', async () => {
    await insertBareSeeds(1);
    expect(await acquireSeed(losing(use.store, 100), POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
  });

  test('lifetimes are compared by the clock of the database, not of this host', async () => {
    const [id] = await insertBareSeeds(1);
    const held = await lease(use.store, POOL, 'other');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60 * MINUTE });
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({ kind: 'busy' });
    expect(await reapLeases(use.store)).toBe(0);
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
    const { lease: written } = await seedOf(use.store, id!);
    expect(written!.expiresAt.getTime()).toBeLessThan(Date.now() - 50 * MINUTE);
  });
});

describe('nothing to acquire', () => {
  test('an empty pool', async () => {
    expect(await acquireSeed(use.store, POOL, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: expect.stringContaining('Pool "main" has no seed') as string,
    });
  });

  test('a pool of dead seeds names each', async () => {
    const ids = await insertBareSeeds(2);
    for (const id of ids) await markSeed(use.store, id, 'dead');
    const result = await acquireSeed(use.store, POOL, 'task', MINUTE);
    expect(result.kind).toBe('none');
    for (const id of ids) expect(JSON.stringify(result)).toContain(`${id} is dead`);
    expect(await acquireSeed(use.store, { seedId: ids[0]! }, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: `Seed ${ids[0]} is dead; log in again`,
    });
  });

  test.each(UNKNOWN_IDS)('the seed id %j is unknown', async (seedId) => {
    expect(await acquireSeed(use.store, { seedId }, 'task', MINUTE)).toEqual({
      kind: 'none',
      reason: `Seed ${JSON.stringify(seedId)} is unknown`,
    });
  });
});

describe('renew and release', () => {
  test('an expired lease that nobody took is renewed', async () => {
    await insertBareSeeds(1);
    const held = await lease(use.store, POOL, 'task', -1);
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
    expect(await acquireSeed(use.store, POOL, 'other', MINUTE)).toEqual({ kind: 'busy' });
  });

  test('another holder or another epoch is refused and changes nothing', async () => {
    const [id] = await insertBareSeeds(1);
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

  test('a foreign client that replaced the lease has it, though the epoch is the same', async () => {
    const [id] = await insertBareSeeds(1);
    const held = await lease(use.store, POOL, 'task');
    await foreignAcquire(use.store, id!, 'python');
    expect((await seedOf(use.store, id!)).leaseEpoch).toBe(held.leaseEpoch);
    expect(await renewLease(use.store, held, MINUTE)).toBe(false);
    expect(await releaseLease(use.store, held)).toBe(false);
    expect((await seedOf(use.store, id!)).lease).toMatchObject({ holder: 'python' });
  });

  test('a released seed has a null lease and is free', async () => {
    const [id] = await insertBareSeeds(1);
    const held = await lease(use.store, POOL, 'task');
    expect(await releaseLease(use.store, held)).toBe(true);
    expect(await releaseLease(use.store, held)).toBe(false);
    expect((await seedOf(use.store, id!)).lease).toBeNull();
    await lease(use.store, POOL, 'other');
  });

  test('reaping clears what ran out and counts it', async () => {
    const [a, b, c] = await insertBareSeeds(3);
    await lease(use.store, { seedId: a! }, 'gone', -1);
    await lease(use.store, { seedId: b! }, 'here');
    expect(await reapLeases(use.store)).toBe(1);
    expect(await reapLeases(use.store)).toBe(0);
    expect((await seedOf(use.store, a!)).lease).toBeNull();
    expect((await seedOf(use.store, b!)).lease).toMatchObject({ holder: 'here' });
    expect((await seedOf(use.store, c!)).lease).toBeUndefined();
  });

  test.each(UNKNOWN_IDS)('the seed id %j has no effect', async (seedId) => {
    const held = { seedId, holder: 'task', leaseEpoch: 1 };
    expect(await renewLease(use.store, held, MINUTE)).toBe(false);
    expect(await releaseLease(use.store, held)).toBe(false);
    expect(await markSeed(use.store, seedId, 'dead')).toBe(false);
    expect(await assignSeed(use.store, seedId, { pool: 'x' })).toBe(false);
  });
});

describe('assign', () => {
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
    const [id] = await insertBareSeeds(1);
    await expect(assignSeed(use.store, id!, { metadata: { [key]: 1 } })).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining(JSON.stringify(key)) as string,
    });
  });
});
