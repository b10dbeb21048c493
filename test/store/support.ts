import { ObjectId, type Document, type FindOneAndUpdateOptions } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect } from 'vitest';
import { acquireSeed, type SeedSource } from '../../src/store/acquire-seed.js';
import { deleteBlob, putBlob } from '../../src/store/blobs.js';
import { objectIdOf, seedsOf, type SeedDocument } from '../../src/store/collections.js';
import { collectionNameOf, ensureIndexes } from '../../src/store/indexes.js';
import type { Lease } from '../../src/store/leases.js';
import { type Store } from '../../src/store/mongo.js';
import { packSeed } from '../../src/store/seed-archive.js';
import { ASKED_BY_TESTS, PLANS } from './query-plans.js';
import { isById, scansAll, shapesOf, type QueryShape } from './query-shapes.js';
import { openTestDatabase } from '../support/mongo.js';
import { openStore } from '../../src/store/open-store.js';

/** The questions that the tests of this file have asked. */
const asked = new Map<string, QueryShape>();

/** A database for the file's tests; each test has collections of its own. */
export function useStore(): { readonly store: Store; readonly uri: string } {
  const use = {} as { store: Store; uri: string };
  let database: { uri: string; close(): Promise<void> };
  let opened: Store;
  let tests = 0;
  beforeAll(async () => {
    database = await openTestDatabase();
    use.uri = database.uri;
    opened = await openStore({ uri: database.uri, prefix: 'test', monitorCommands: true });
    opened.client.on('commandStarted', (event) => {
      for (const shape of shapesOf(event)) asked.set(shape.text, shape);
    });
  });
  beforeEach(() => {
    use.store = { ...opened, prefix: `test${++tests}` };
  });
  afterAll(async () => {
    if (opened) await expectPlans(opened);
    await opened?.close();
    await database?.close();
  });
  return use;
}

/** Every question is in the table, and a server that has plans answers it by an index where the table says so. */
async function expectPlans(store: Store): Promise<void> {
  const shapes = [...asked.values()].filter((each) => !isById(each));
  asked.clear();
  const unknown = shapes.filter(({ text }) => !(text in PLANS) && !ASKED_BY_TESTS.test(text));
  expect(unknown.map(({ text }) => text)).toEqual([]);
  const explained: Store = { ...store, prefix: 'explained' };
  await ensureIndexes(explained);
  for (const shape of shapes) {
    if (!/^by_/.test(PLANS[shape.text] ?? '') || shape.text.endsWith(': all')) continue;
    const collection = collectionNameOf(explained, shape.collection);
    const scans = await scansAll(store.db, collection, shape);
    if (scans === null) return;
    expect([shape.text, scans]).toEqual([shape.text, false]);
  }
}

/** An auth.json with this refresh token. */
export const auth = (token: string, lastRefresh?: string): Buffer =>
  Buffer.from(JSON.stringify({ tokens: { refresh_token: token }, last_refresh: lastRefresh }));

export { issued } from './issued.js';

export const MINUTE = 60_000;

export const UNKNOWN_IDS = [
  '',
  'nonsense',
  'twelve bytes',
  'z'.repeat(24),
  'a'.repeat(24),
  '../../etc/passwd',
];

/** Leases and expects to get it. A negative `ttlMs` gives a lease that has run out. */
export async function lease(
  store: Store,
  source: SeedSource,
  holder: string,
  ttlMs = MINUTE,
): Promise<Lease> {
  const result = await acquireSeed(store, source, holder, ttlMs);
  expect(result).toMatchObject({ kind: 'leased' });
  return (result as { lease: Lease }).lease;
}

/** Seeds of the pool `main` without blobs: documents are enough where none is read. */
export async function insertBareSeeds(store: Store, count: number): Promise<string[]> {
  const seeds = Array.from({ length: count }, () => ({
    _id: new ObjectId(),
    createdAt: new Date(),
    blobId: new ObjectId(),
    manifestVersion: 1,
    poolKey: 'main',
  }));
  await seedsOf(store).insertMany(seeds);
  return seeds.map(({ _id }) => _id.toHexString());
}

export async function seedOf(store: Store, seedId: string): Promise<SeedDocument> {
  const seed = await seedsOf(store).findOne({ _id: new ObjectId(seedId) });
  expect(seed).not.toBeNull();
  return seed as SeedDocument;
}

/** What the Python package's acquire does to a seed that it takes: the whole lease replaced, no epoch. */
export async function foreignAcquire(store: Store, seedId: string, holder: string): Promise<void> {
  const now = Date.now();
  await seedsOf(store).updateOne(
    { _id: objectIdOf(seedId) as ObjectId },
    { $set: { lease: { holder, expiresAt: new Date(now + MINUTE) }, lastLeasedAt: new Date(now) } },
  );
}

/** What its refresh does: new blob, document by id alone, old blob deleted. */
export async function foreignRefresh(store: Store, seedId: string, authJson: Buffer): Promise<string> {
  const { blobId: old } = await seedOf(store, seedId);
  const blobId = await putBlob(store, await packSeed({ authJson }), { filename: 'seed' });
  await seedsOf(store).updateOne(
    { _id: new ObjectId(seedId) },
    { $set: { blobId: new ObjectId(blobId), updatedAt: new Date() } },
  );
  await deleteBlob(store, old.toHexString());
  return blobId;
}

/** The store, but its `turn`th question for the time first waits for what another client does meanwhile. */
export function meanwhile(store: Store, turn: number, act: () => Promise<unknown>): Store {
  let asked = 0;
  const command = async (body: Document) => {
    if (++asked === turn) await act();
    return store.db.command(body);
  };
  return { ...store, db: replacing(store.db, { command }) };
}

/** The store, but before it looks for a blob the first time, another client acts. */
export function beforeBlob(store: Store, act: () => Promise<unknown>): Store {
  let looked = false;
  const collection = (name: string) => {
    const target = store.db.collection(name);
    if (name !== 'fs.files') return target;
    const findOne = async (filter: Document) => {
      if (!looked) {
        looked = true;
        await act();
      }
      return target.findOne(filter);
    };
    return replacing(target, { findOne });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

/** The store, but before it changes a seed in this way the first time, or the `turn`th, another client acts. */
export function beforeChange(
  store: Store,
  method: 'updateOne' | 'insertOne',
  act: () => Promise<unknown>,
  turn = 1,
): Store {
  let changes = 0;
  const collection = (name: string) => {
    const target = store.db.collection(name);
    if (!name.endsWith('_codex_seeds')) return target;
    const call = target[method].bind(target) as (...args: unknown[]) => Promise<unknown>;
    const late = async (...args: unknown[]) => {
      if (++changes === turn) await act();
      return call(...args);
    };
    return replacing(target, { [method]: late });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

/** Ids of the blobs that were stored for this test's collections, in hex. */
export async function blobsOf(store: Store, filename = 'seed'): Promise<string[]> {
  const files = store.db.collection('fs.files').find({ filename, 'metadata.prefix': store.prefix });
  return (await files.toArray()).map(({ _id }) => _id.toHexString());
}

/** The store, but the first `count` find-and-updates find nothing, as after lost races. */
export function losing(store: Store, count: number): Store {
  let lost = 0;
  const collection = (name: string) => {
    const target = store.db.collection(name);
    const findOneAndUpdate = (filter: Document, update: Document, options: FindOneAndUpdateOptions) =>
      lost++ < count ? Promise.resolve(null) : target.findOneAndUpdate(filter, update, options);
    return replacing(target, { findOneAndUpdate });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

/** `target` with some methods replaced; the others still run on the target itself. */
export function replacing<T extends object>(target: T, methods: Record<string, unknown>): T {
  return new Proxy(target, {
    get(_, name) {
      if (Object.hasOwn(methods, name)) return methods[name as string];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
