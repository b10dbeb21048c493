import type { Document } from 'mongodb';
import { expect, test } from 'vitest';
import { assignSeed } from '../../src/store/assign-seed.js';
import { putCapturedSeed } from '../../src/store/captured-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { type Store } from '../../src/store/mongo.js';
import { loginFields } from '../../src/store/logins.js';
import { listQuarantine, readQuarantined } from '../../src/store/quarantine.js';
import { readSeed } from '../../src/store/seeds.js';
import { auth, lease, meanwhile, replacing, useStore } from './support.js';
import { openStore } from '../../src/store/open-store.js';

const use = useStore();
const RUN = { taskId: 't', runId: 'r', assignmentId: 's' };
const OLD = auth('old', '2026-01-01T00:00:00Z');
const NEW = auth('new', '2026-01-02T00:00:00Z');
const capture = (authJson = OLD, store = use.store, origin = RUN) =>
  putCapturedSeed(store, origin, { authJson, pool: 'p', metadata: { team: 'a' } });

const seeds = () => seedsOf(use.store).find().toArray();
const stored = async (seedId: string) => (await readSeed(use.store, seedId))?.authJson;

/** The store of a worker that ends around the insert of the document, which it did or did not send before. */
function dying(store: Store, isSent: boolean): Store {
  const collection = (name: string) => {
    const target = store.db.collection(name);
    if (!name.endsWith('_codex_seeds')) return target;
    const insertOne = async (document: Document) => {
      if (isSent) await target.insertOne(document);
      throw new Error('the worker is gone');
    };
    const findOne = async (filter: Document) => (isSent ? null : target.findOne(filter));
    return replacing(target, { insertOne, findOne });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

test('a captured seed has the shape of any other seed', async () => {
  const { seedId, quarantineId } = await capture();
  expect(quarantineId).toBeNull();
  const [{ _id, createdAt, blobId, ...fields }] = (await seeds()) as [Awaited<ReturnType<typeof seeds>>[0]];
  expect([_id.toHexString(), createdAt, blobId.toHexString()]).toEqual([
    seedId,
    expect.any(Date),
    expect.any(String),
  ]);
  expect(fields).toEqual({
    manifestVersion: 1,
    poolKey: 'p',
    metadata: { team: 'a' },
    ...loginFields(OLD, blobId),
  });
  expect(await stored(seedId)).toEqual(OLD);
});

test.each([
  ['before its document is stored', false],
  ['after it, and before the answer', true],
])('a worker that dies %s leaves one seed behind when the next one captures', async (_when, isSent) => {
  const other = await openStore({ uri: use.uri, prefix: use.store.prefix });
  try {
    await expect(capture(OLD, dying(other, isSent))).rejects.toThrow('the worker is gone');
  } finally {
    await other.close();
  }
  const { seedId } = await capture();
  expect(await capture()).toEqual({ seedId, quarantineId: null });
  expect((await seeds()).map(({ _id }) => _id.toHexString())).toEqual([seedId]);
  expect(await stored(seedId)).toEqual(OLD);
});

test('concurrent captures of two workers make one seed', async () => {
  const other = await openStore({ uri: use.uri, prefix: use.store.prefix });
  try {
    const all = await Promise.all([capture(), capture(OLD, other), capture(), capture(OLD, other)]);
    expect(new Set(all.map(({ seedId }) => seedId)).size).toBe(1);
    expect(await seeds()).toHaveLength(1);
  } finally {
    await other.close();
  }
});

test('another run and another task get seeds of their own', async () => {
  const ids = [
    await capture(),
    await capture(NEW, use.store, { ...RUN, runId: 'r2' }),
    await capture(auth('third'), use.store, { ...RUN, taskId: 't2' }),
  ];
  expect(new Set(ids.map(({ seedId }) => seedId)).size).toBe(3);
});

test('a later capture brings newer tokens only, and leaves the seed in its pool', async () => {
  const { seedId } = await capture();
  await assignSeed(use.store, seedId, { pool: 'elsewhere', metadata: { team: 'b' } });
  expect(await capture(NEW)).toEqual({ seedId, quarantineId: null });
  expect(await stored(seedId)).toEqual(NEW);
  expect(await capture(OLD)).toEqual({ seedId, quarantineId: null });
  expect(await stored(seedId)).toEqual(NEW);
  expect(await seeds()).toMatchObject([{ poolKey: 'elsewhere', metadata: { team: 'b' } }]);
});

test('a captured seed in use stays, and a later credential goes to quarantine', async () => {
  const { seedId } = await capture();
  await lease(use.store, { seedId }, 'user/r');
  const { quarantineId } = await capture(NEW);
  expect(await stored(seedId)).toEqual(OLD);
  expect(await listQuarantine(use.store)).toMatchObject([{ quarantineId, seedId, taskId: 't' }]);
  expect(await readQuarantined(use.store, quarantineId!)).toEqual(NEW);
  expect(await capture(NEW)).toEqual({ seedId, quarantineId });
});

test('a captured seed that is leased during a second capture stays as it is', async () => {
  const { seedId } = await capture();
  // Between the look whether somebody uses it and the change.
  const slow = meanwhile(use.store, 2, () => lease(use.store, { seedId }, 'user/r'));
  const { quarantineId } = await capture(NEW, slow);
  expect(quarantineId).not.toBeNull();
  expect(await stored(seedId)).toEqual(OLD);
});
