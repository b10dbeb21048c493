import { ObjectId } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { assignSeed } from '../../src/store/assign-seed.js';
import { loginIn } from '../../src/store/auth-shape.js';
import { deleteBlob, putBlob } from '../../src/store/blobs.js';
import { putCapturedSeed } from '../../src/store/captured-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { releaseLease } from '../../src/store/leases.js';
import { listPrevious } from '../../src/store/previous-blobs.js';
import { quarantineAuth } from '../../src/store/quarantine.js';
import { deleteSeed } from '../../src/store/remove-seed.js';
import { restorePrevious, restoreQuarantined } from '../../src/store/restore.js';
import { packSeed } from '../../src/store/seed-archive.js';
import { importSeed, insertSeed, listSeeds, readSeed, saveBack } from '../../src/store/seeds.js';
import { auth, beforeChange, blobsOf, issued, lease, MINUTE, seedOf, useStore } from './support.js';
import { loginsIn, named } from './logins-support.js';

const use = useStore();
const { foreignSeed, leasable } = loginsIn(use);
const POOL = { pool: 'p' };
const TASK = { taskId: 't' };

describe('one login is one seed', () => {
  const ways: [string, (authJson: Buffer) => Promise<unknown>][] = [
    ['added', (authJson) => insertSeed(use.store, { authJson, pool: 'other' })],
    ['imported', async (authJson) => importSeed(use.store, await packSeed({ authJson }), { pool: 'other' })],
    [
      'captured',
      (authJson) => putCapturedSeed(use.store, { taskId: 't', runId: 'r' }, { authJson, pool: 'other' }),
    ],
  ];

  test.each(ways)('%s a second time: is refused and names the seed that has the login', async (_, add) => {
    const seedId = await insertSeed(use.store, { authJson: auth('same'), ...POOL });
    await expect(add(auth('same', '2026-01-01T00:00:00Z'))).rejects.toMatchObject(named(seedId));
    expect(await seedsOf(use.store).countDocuments({})).toBe(1);
  });

  test.each(ways)('%s from a copy refreshed since: is refused, too', async (_, add) => {
    const seedId = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
    const held = await lease(use.store, POOL, 't/r');
    for (const token of ['2', '3']) await saveBack(use.store, held, auth(token), TASK);
    await expect(add(auth('1'))).rejects.toMatchObject(named(seedId));
    await expect(add(auth('3'))).rejects.toMatchObject(named(seedId));
  });

  test('stores a login once when it is added twice at once', async () => {
    const adding = Array.from({ length: 8 }, () =>
      insertSeed(use.store, { authJson: auth('same'), ...POOL }),
    );
    const settled = await Promise.allSettled(adding);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await leasable()).toBe(1);
  });

  test('allows keys that nobody refreshes in many seeds', async () => {
    const authJson = Buffer.from('{"OPENAI_API_KEY":"sk-x"}');
    for (const pool of ['p', 'p', 'q']) await insertSeed(use.store, { authJson, pool });
    expect(await leasable()).toBe(2);
  });

  test('stores the hash of a login, from which nobody can derive it', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('a-token'), ...POOL });
    const seed = await seedOf(use.store, seedId);
    expect(seed.login).toBe(loginIn(auth('a-token', '2026-01-01T00:00:00Z')));
    expect(JSON.stringify(seed)).not.toContain('a-token');
    expect(seed.login).not.toBe(loginIn(auth('b-token')));
  });

  test('allows a login again once its seed is deleted', async () => {
    const first = await insertSeed(use.store, { authJson: auth('same'), ...POOL });
    await deleteSeed(use.store, first);
    expect(await insertSeed(use.store, { authJson: auth('same'), ...POOL })).not.toBe(first);
  });
});

describe('a seed of a client that writes no hash', () => {
  test('shares its login with one other, of which only one can be leased', async () => {
    const [one, two] = [await foreignSeed(auth('same')), await foreignSeed(auth('same'))];
    expect(await leasable()).toBe(1);
    const states = (await listSeeds(use.store, 'p')).map(({ seedId, state }) => [seedId, state]);
    expect(states).toEqual([
      [one, 'leased'],
      [two, 'duplicate'],
    ]);
  });

  test('is held when a seed of ours has refreshed its login and so spent its token', async () => {
    const ours = await insertSeed(use.store, { authJson: auth('1'), pool: 'ours' });
    const theirs = await foreignSeed(auth('1'));
    const held = await lease(use.store, { pool: 'ours' }, 't/r');
    await saveBack(use.store, held, auth('2'), { taskId: 't' });
    expect(await acquireSeed(use.store, { seedId: theirs }, 'u/r', MINUTE)).toEqual({
      kind: 'none',
      reason: expect.stringContaining(ours) as string,
    });
  });

  test('is held when a seed of ours has its login', async () => {
    const ours = await insertSeed(use.store, { authJson: auth('same'), pool: 'ours' });
    const theirs = await foreignSeed(auth('same'));
    expect(await acquireSeed(use.store, { seedId: theirs }, 't/r', MINUTE)).toEqual({
      kind: 'none',
      reason: expect.stringContaining(ours) as string,
    });
  });

  test('is examined after a refresh when it is leased next', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
    const blobId = new ObjectId(
      await putBlob(use.store, await packSeed({ authJson: auth('2') }), { filename: 'seed' }),
    );
    await seedsOf(use.store).updateOne({ _id: new ObjectId(seedId) }, { $set: { blobId } });
    const held = await lease(use.store, POOL, 't/r');
    expect(await seedOf(use.store, held.seedId)).toMatchObject({
      login: loginIn(auth('2')),
      loginBlob: blobId,
    });
  });

  test('is skipped for a while, with its reason, when its blob cannot be read', async () => {
    const broken = await foreignSeed(auth('x'));
    const { blobId } = await seedOf(use.store, broken);
    await deleteBlob(use.store, blobId.toHexString());
    await putBlob(use.store, Buffer.from('not a tar'), { filename: 'seed', id: blobId.toHexString() });
    const good = await insertSeed(use.store, { authJson: auth('y'), ...POOL });
    expect((await lease(use.store, POOL, 't/r')).seedId).toBe(good);
    const [aside] = await listSeeds(use.store, 'p');
    expect(aside).toMatchObject({
      seedId: broken,
      state: 'aside',
      status: 'alive',
      why: expect.stringContaining('cannot be read') as string,
    });
    expect(await acquireSeed(use.store, { seedId: broken }, 't2/r', MINUTE)).toMatchObject({
      kind: 'none',
      reason: expect.stringContaining('cannot be read') as string,
    });
  });
});

describe('a copy that is examined while the seed of its login refreshes', () => {
  /** The seed with the login gets the next token. */
  const refresh = async (seedId: string) => {
    const mine = await lease(use.store, { seedId }, 'mine/r');
    await saveBack(use.store, mine, auth('two'), { taskId: 'mine' });
  };

  test('is not leased, since its token is spent by then', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('one') });
    await foreignSeed(auth('one'));
    const slow = beforeChange(use.store, 'updateOne', () => refresh(seedId));
    expect(await acquireSeed(slow, { pool: 'p' }, 'other/r', MINUTE)).toMatchObject({ kind: 'none' });
    expect(await leasable()).toBe(0);
  });

  const refreshedMeanwhile = () => {
    const ids: string[] = [];
    const slow = beforeChange(use.store, 'insertOne', async () => {
      ids.push(await insertSeed(use.store, { authJson: auth('one') }));
      await refresh(ids[0]!);
    });
    return { slow, ids };
  };

  test('is refused when it is added', async () => {
    const { slow, ids } = refreshedMeanwhile();
    const added = insertSeed(slow, { authJson: auth('one'), pool: 'p' });
    await expect(added).rejects.toMatchObject({ code: 'BadInput' });
    await expect(added).rejects.toMatchObject(named(ids[0]!));
    expect(await leasable()).toBe(0);
    expect(await seedsOf(use.store).countDocuments()).toBe(1);
    // The blob of the copy is the collector's.
    const _id = { $in: (await blobsOf(use.store)).map((id) => new ObjectId(id)) };
    const dropped = { _id, 'metadata.droppedAt': { $type: 'date' } };
    expect(_id.$in).toHaveLength(3);
    expect(await use.store.db.collection('fs.files').countDocuments(dropped)).toBe(1);
  });

  test('is refused, and stays with whoever leased it at that moment', async () => {
    const { slow } = refreshedMeanwhile();
    const lease = { holder: 'other/r', expiresAt: new Date(Date.now() + MINUTE) };
    const leased = beforeChange(slow, 'updateOne', () =>
      seedsOf(use.store).updateOne({ poolKey: 'p' }, { $set: { lease } }),
    );
    const added = insertSeed(leased, { authJson: auth('one'), pool: 'p' });
    await expect(added).rejects.toMatchObject({ code: 'BadInput' });
    expect(await seedsOf(use.store).findOne({ poolKey: 'p' })).toMatchObject({ lease });
  });
});

describe('replacing a login', () => {
  test('makes a restored previous credential the login of the seed again', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
    const held = await lease(use.store, POOL, 't/r');
    await saveBack(use.store, held, auth('2'), TASK);
    await releaseLease(use.store, held);
    const [previous] = (await listPrevious(use.store, seedId))!;
    await restorePrevious(use.store, seedId, previous!.blobId, { force: true });
    expect((await seedOf(use.store, seedId)).login).toBe(loginIn(auth('1')));
    await expect(insertSeed(use.store, { authJson: auth('1') })).rejects.toMatchObject(named(seedId));
  });

  test('loses nothing when another seed has the login at a save, and holds that seed', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
    const held = await lease(use.store, POOL, 't/r');
    await insertSeed(use.store, { authJson: auth('2'), pool: 'q' });
    expect(await saveBack(use.store, held, auth('2'), TASK)).toMatchObject({ kind: 'saved' });
    await releaseLease(use.store, held);
    expect((await readSeed(use.store, seedId))!.authJson).toEqual(auth('2'));
    expect([await leasable('p'), await leasable('q')]).toEqual([0, 1]);
  });

  test('makes one seed of a record that several restore at once', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('old'), ...POOL });
    const held = await lease(use.store, POOL, 't/r');
    await deleteSeed(use.store, seedId, { force: true });
    const kept = await saveBack(use.store, held, auth('new'), TASK);
    if (kept.kind !== 'quarantined') throw new Error(kept.kind);
    const restoring = Array.from({ length: 5 }, () => restoreQuarantined(use.store, kept.quarantineId, POOL));
    const results = (await Promise.allSettled(restoring)).map((each) =>
      each.status === 'fulfilled' ? each.value.kind : String(each.reason),
    );
    expect(results.filter((kind) => kind === 'recreated')).toHaveLength(1);
    expect(results.every((kind) => ['recreated', 'unchanged', 'unknown'].includes(kind))).toBe(true);
    expect(await leasable()).toBe(1);
  });

  test('takes an exported seed back when it is given a pool', async () => {
    const seedId = await insertSeed(use.store, { authJson: auth('x'), ...POOL });
    const hold = { kind: 'exported', reason: 'x', at: new Date(), was: 'alive' } as const;
    await seedsOf(use.store).updateOne({ _id: new ObjectId(seedId) }, { $set: { hold, status: 'dead' } });
    expect(await leasable()).toBe(0);
    await assignSeed(use.store, seedId, { pool: 'p' });
    expect(await leasable()).toBe(1);
  });
});

test('a login in quarantine is not stored as a second seed', async () => {
  const seedId = await insertSeed(use.store, { authJson: issued('1', 100), ...POOL });
  const lost = { seedId, holder: 'gone/r', leaseEpoch: 0 };
  await quarantineAuth(use.store, lost, issued('2', 200), { taskId: 'gone', reason: 'lost' });
  const held = await lease(use.store, POOL, 't/r');
  expect((await readSeed(use.store, held.seedId))!.authJson).toEqual(issued('2', 200));
  await expect(insertSeed(use.store, { authJson: issued('2', 200) })).rejects.toMatchObject(named(seedId));
});
