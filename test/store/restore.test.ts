import { ObjectId, type Document } from 'mongodb';
import { describe, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { markSeed } from '../../src/store/assign-seed.js';
import { putBlob } from '../../src/store/blobs.js';
import { collectOrphans } from '../../src/store/collect.js';
import { quarantineOf, seedsOf } from '../../src/store/collections.js';
import { clearExpired, listExpired, releaseLease } from '../../src/store/leases.js';
import { listPrevious } from '../../src/store/previous-blobs.js';
import { listQuarantine, quarantineAuth, readQuarantined } from '../../src/store/quarantine.js';
import { deleteSeed, purgeSeed } from '../../src/store/remove-seed.js';
import { restorePrevious, restoreQuarantined } from '../../src/store/restore.js';
import { ownMetadata, putSecret } from '../../src/store/secret-blobs.js';
import { packSeed } from '../../src/store/seed-archive.js';
import { exportSeed, importSeed, insertSeed, readSeed, saveBack } from '../../src/store/seeds.js';
import { insertSnapshot } from '../../src/store/snapshots.js';
import {
  auth,
  blobsOf,
  foreignAcquire,
  lease,
  meanwhile,
  MINUTE,
  seedOf,
  useStore,
  issued,
  replacing,
} from './support.js';

const use = useStore();
const TASK = { taskId: 'task-1' };
const WHY = { ...TASK, reason: 'the lease is lost' };
const HOLDER = 'task-1/run-1';
const EARLIER = '2026-01-01T00:00:00Z';
const LATER = '2026-01-02T00:00:00Z';

const storedAuth = async (seedId: string) => (await readSeed(use.store, seedId))?.authJson;
const seedWith = (token: string, refreshed?: string) =>
  insertSeed(use.store, { authJson: auth(token, refreshed), pool: 'main' });
const aside = (seedId: string, authJson: Buffer) =>
  quarantineAuth(use.store, { seedId, holder: HOLDER, leaseEpoch: 1 }, authJson, WHY);

describe('a restoration from quarantine', () => {
  test('replaces the credential, keeps the replaced one, and revives the seed', async () => {
    const seedId = await seedWith('old', EARLIER);
    const record = await aside(seedId, auth('new', LATER));
    await markSeed(use.store, seedId, 'dead');
    expect(await restoreQuarantined(use.store, record)).toMatchObject({ kind: 'restored', seedId });
    expect(await storedAuth(seedId)).toEqual(auth('new', LATER));
    const [previous] = (await listPrevious(use.store, seedId)) ?? [];
    expect(previous).toMatchObject({ storedAt: expect.any(Date) as Date });
    expect(await listQuarantine(use.store)).toEqual([]);
    expect(await seedOf(use.store, seedId)).toMatchObject({ status: 'alive', lease: null });
    const back = await restorePrevious(use.store, seedId, previous!.blobId, { force: true });
    expect(back.kind).toBe('restored');
    expect(await storedAuth(seedId)).toEqual(auth('old', EARLIER));
  });

  test('refuses a seed that is leased, even by force', async () => {
    const seedId = await seedWith('old', EARLIER);
    await lease(use.store, { seedId }, HOLDER);
    const record = await aside(seedId, auth('new', LATER));
    const refused = await restoreQuarantined(use.store, record, { force: true });
    expect(refused).toMatchObject({ kind: 'leased', holder: HOLDER });
    expect(await storedAuth(seedId)).toEqual(auth('old', EARLIER));
    expect(await listQuarantine(use.store)).toHaveLength(1);
  });

  test('fails when somebody leases the seed during it', async () => {
    const seedId = await seedWith('old', EARLIER);
    const record = await aside(seedId, auth('new', LATER));
    const racing = meanwhile(use.store, 2, () => foreignAcquire(use.store, seedId, 'python'));
    expect(await restoreQuarantined(racing, record)).toMatchObject({ kind: 'leased', holder: 'python' });
    expect(await storedAuth(seedId)).toEqual(auth('old', EARLIER));
    expect(await blobsOf(use.store)).toHaveLength(1);
  });

  test('ends an expired lease, whose holder then saves into quarantine', async () => {
    const seedId = await seedWith('old', EARLIER);
    const late = await lease(use.store, { seedId }, HOLDER, -1);
    const record = await aside(seedId, auth('new', LATER));
    expect(await restoreQuarantined(use.store, record)).toMatchObject({ kind: 'restored' });
    expect(await saveBack(use.store, late, auth('late'), TASK)).toMatchObject({ kind: 'quarantined' });
    expect(await storedAuth(seedId)).toEqual(auth('new', LATER));
  });

  test('replaces a newer credential by force only', async () => {
    const seedId = await seedWith('newer', LATER);
    const record = await aside(seedId, auth('older', EARLIER));
    expect(await restoreQuarantined(use.store, record)).toEqual({ kind: 'newer', seedId });
    expect(await restoreQuarantined(use.store, record, { force: true })).toMatchObject({ kind: 'restored' });
    expect(await storedAuth(seedId)).toEqual(auth('older', EARLIER));
  });

  test('compares save times when codex’s times are missing', async () => {
    const seedId = await seedWith('first');
    const held = await lease(use.store, { seedId }, HOLDER);
    const record = await aside(seedId, auth('aside'));
    await saveBack(use.store, held, auth('saved later'), TASK);
    await releaseLease(use.store, held);
    expect(await restoreQuarantined(use.store, record)).toEqual({ kind: 'newer', seedId });
  });

  test('makes a new seed of one that is gone, when told to', async () => {
    const seedId = await seedWith('old');
    await purgeSeed(use.store, seedId);
    const record = await aside(seedId, auth('new'));
    expect(await restoreQuarantined(use.store, record)).toEqual({ kind: 'seed-gone', seedId });
    const made = await restoreQuarantined(use.store, record, { pool: 'rescued' });
    expect(made.kind).toBe('recreated');
    const got = await lease(use.store, { pool: 'rescued' }, HOLDER);
    expect(await storedAuth(got.seedId)).toEqual(auth('new'));
  });

  test('drops the record of what the seed already holds', async () => {
    const seedId = await seedWith('same');
    const record = await aside(seedId, auth('same'));
    expect(await restoreQuarantined(use.store, record)).toEqual({ kind: 'unchanged', seedId });
    expect(await listQuarantine(use.store)).toEqual([]);
  });

  test.each(['', 'nonsense', 'a'.repeat(24)])('does nothing for the unknown id %j', async (id) => {
    expect(await restoreQuarantined(use.store, id)).toEqual({ kind: 'unknown' });
    const seedId = await seedWith('x');
    expect(await restorePrevious(use.store, seedId, id)).toEqual({ kind: 'unknown' });
    expect(await restorePrevious(use.store, id, seedId)).toEqual({ kind: 'seed-gone', seedId: id });
  });
});

test('four saves leave three previous blobs, and a restored one replaces the oldest', async () => {
  const seedId = await seedWith('0', EARLIER);
  const held = await lease(use.store, { seedId }, HOLDER);
  for (const token of ['1', '2', '3', '4']) await saveBack(use.store, held, auth(token, LATER), TASK);
  await releaseLease(use.store, held);
  const previous = (await listPrevious(use.store, seedId)) ?? [];
  expect(previous).toHaveLength(3);
  await restorePrevious(use.store, seedId, previous[2]!.blobId, { force: true });
  expect(await storedAuth(seedId)).toEqual(auth('1', LATER));
  const { blobId, previousBlobs = [] } = await seedOf(use.store, seedId);
  expect(previousBlobs).toHaveLength(3);
  expect(new Set(await blobsOf(use.store))).toEqual(
    new Set([blobId, ...previousBlobs].map((id) => id.toHexString())),
  );
});

describe('removal', () => {
  test.each([deleteSeed, purgeSeed])('refuses a leased seed unless forced: %o', async (remove) => {
    const seedId = await seedWith('x');
    await lease(use.store, { seedId }, HOLDER);
    expect(await remove(use.store, seedId)).toMatchObject({ kind: 'leased', holder: HOLDER });
    expect(await remove(use.store, seedId, { force: true })).toMatchObject({ kind: 'removed' });
    expect(await remove(use.store, seedId)).toEqual({ kind: 'unknown' });
  });

  test('takes the quarantine along as a purge, and leaves blobs to the collector', async () => {
    const [a, b] = [await seedWith('a'), await seedWith('b')];
    await aside(a, auth('x'));
    await purgeSeed(use.store, a);
    expect([await blobsOf(use.store, 'quarantine'), await listQuarantine(use.store)]).toEqual([[], []]);
    await deleteSeed(use.store, b);
    expect(await blobsOf(use.store)).toHaveLength(1);
    // Its upload is long ago by then; the deletion is not.
    expect(await collectOrphans(use.store, { graceMs: MINUTE })).toEqual({ deleted: 0, rescued: [] });
    expect(await collectOrphans(use.store, { graceMs: -MINUTE })).toEqual({ deleted: 1, rescued: [] });
  });
});

describe('the collector', () => {
  const collect = () => collectOrphans(use.store, { graceMs: -MINUTE });

  test('never deletes what a document names', async () => {
    const seedId = await seedWith('a');
    const held = await lease(use.store, { seedId }, HOLDER);
    await saveBack(use.store, held, auth('b'), TASK);
    const record = await aside(seedId, auth('c'));
    const metadata = ownMetadata(use.store, 'workdir');
    const named = await putBlob(use.store, Buffer.from('tar'), { filename: 'workdir', metadata });
    await insertSnapshot(use.store, { key: 'k', blobId: named, sessionId: null, endState: 'done' });
    expect(await collect()).toEqual({ deleted: 0, rescued: [] });
    expect(await storedAuth(seedId)).toEqual(auth('b'));
    expect(await readQuarantined(use.store, record)).toEqual(auth('c'));
    expect(await blobsOf(use.store)).toHaveLength(2);
    expect(await blobsOf(use.store, 'workdir')).toEqual([named]);
  });

  test('deletes old orphans, no young one, and none of others', async () => {
    const foreign = { prefix: use.store.prefix, name: 'seed' };
    const theirs = await putBlob(use.store, Buffer.from('x'), { filename: 'seed', metadata: foreign });
    const metadata = ownMetadata(use.store, 'workdir');
    await putBlob(use.store, Buffer.from('tar'), { filename: 'workdir', metadata });
    expect(await collectOrphans(use.store)).toEqual({ deleted: 0, rescued: [] });
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
    expect([await blobsOf(use.store, 'workdir'), await blobsOf(use.store)]).toEqual([[], [theirs]]);
  });

  test('quarantines a credential whose writer died before its seed named it', async () => {
    const seedId = await seedWith('old', EARLIER);
    const place = { kind: 'seed', seedId } as const;
    const archive = await packSeed({ authJson: auth('new', LATER) });
    await putSecret(use.store, place, archive, { processId: 'task-9' });
    const { deleted, rescued } = await collect();
    expect([deleted, rescued.length]).toEqual([1, 1]);
    expect(await listQuarantine(use.store, seedId)).toMatchObject([{ taskId: 'task-9' }]);
    expect(await readQuarantined(use.store, rescued[0]!)).toEqual(auth('new', LATER));
    await putSecret(use.store, place, archive);
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
  });

  test('quarantines an orphan that is older only by the clocks of hosts', async () => {
    const seedId = await seedWith('of a host whose clock is ahead', LATER);
    await putSecret(
      use.store,
      { kind: 'seed', seedId },
      await packSeed({ authJson: auth('newest', EARLIER) }),
    );
    const { rescued } = await collect();
    expect(await readQuarantined(use.store, rescued[0]!)).toEqual(auth('newest', EARLIER));
  });

  test('deletes an orphan that its seed, or time, has overtaken', async () => {
    const seedId = await insertSeed(use.store, { authJson: issued('now', 200) });
    const place = { kind: 'seed', seedId } as const;
    for (const authJson of [issued('now', 200), issued('before', 100)])
      await putSecret(use.store, place, await packSeed({ authJson }));
    expect(await collect()).toEqual({ deleted: 2, rescued: [] });
    expect(await quarantineOf(use.store).countDocuments({})).toBe(0);
  });
});

describe('an expired lease', () => {
  test('is listed with its age and cleared once', async () => {
    const seedId = await seedWith('x');
    await seedWith('free');
    const held = await lease(use.store, { seedId }, HOLDER, -5_000);
    const [expired, ...others] = await listExpired(use.store);
    expect(others).toEqual([]);
    expect(expired).toMatchObject(held);
    expect(expired!.expiredForMs).toBeGreaterThanOrEqual(5_000);
    expect(await clearExpired(use.store, expired!)).toBe(true);
    expect(await clearExpired(use.store, expired!)).toBe(false);
    expect(await listExpired(use.store)).toEqual([]);
  });

  test('is left alone when renewed or taken after it was listed', async () => {
    const seedId = await seedWith('x');
    await lease(use.store, { seedId }, HOLDER, -1);
    const [expired] = await listExpired(use.store);
    const taken = await acquireSeed(use.store, { seedId }, HOLDER, MINUTE);
    expect(taken.kind).toBe('leased');
    expect(await clearExpired(use.store, expired!)).toBe(false);
  });
});

test('an exported seed can be imported elsewhere with all its members', async () => {
  const authJson = auth('x');
  const seedId = await insertSeed(use.store, { authJson, configToml: Buffer.from('model = "m"\n') });
  const archive = await exportSeed(use.store, seedId);
  const elsewhere = { ...use.store, prefix: `${use.store.prefix}_elsewhere` };
  const copy = await importSeed(elsewhere, archive!, { pool: 'other' });
  expect(await readSeed(elsewhere, copy)).toMatchObject({
    authJson,
    configToml: Buffer.from('model = "m"\n'),
  });
  expect(await exportSeed(use.store, new ObjectId().toHexString())).toBeNull();
  await expect(importSeed(use.store, await packSeed({}), {})).rejects.toThrow(/expected an auth.json/);
  expect(await seedsOf(elsewhere).countDocuments({})).toBe(1);
});

test('an interrupted deletion leaves no blob that counts as old', async () => {
  const seedId = await seedWith('x');
  const collection = (name: string) => {
    const target = use.store.db.collection(name);
    // The document is gone, and nobody hears of it.
    const findOneAndDelete = async (filter: Document) => {
      await target.findOneAndDelete(filter);
      throw new Error('killed here');
    };
    return replacing(target, { findOneAndDelete });
  };
  const crashing = { ...use.store, db: replacing(use.store.db, { collection }) };
  await expect(deleteSeed(crashing, seedId)).rejects.toThrow('killed here');
  const [blobId] = await blobsOf(use.store);
  const long = { $set: { uploadDate: new Date(Date.now() - 10 * MINUTE) } };
  await use.store.db.collection('fs.files').updateOne({ _id: new ObjectId(blobId) }, long);
  await collectOrphans(use.store, { graceMs: MINUTE });
  expect(await blobsOf(use.store)).toEqual([blobId]);
});
