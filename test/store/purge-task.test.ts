import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ObjectId, type Document } from 'mongodb';
import { expect, test } from 'vitest';
import { packageRoot } from '../../src/dev/package-root.js';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { findBlob, putBlob } from '../../src/store/blobs.js';
import { hostsOf, seedsOf, snapshotsOf } from '../../src/store/collections.js';
import { registerHost, requestEviction } from '../../src/store/hosts.js';
import { keepText } from '../../src/store/kept-texts.js';
import type { Store } from '../../src/store/mongo.js';
import {
  findRemains,
  isEmpty,
  OWN_NAMES,
  removeRemains,
  type NamedByOthers,
} from '../../src/store/purge-task.js';
import { quarantineAuth } from '../../src/store/quarantine.js';
import { insertSeed } from '../../src/store/seeds.js';
import { areKept, reserveBlob } from '../../src/store/snapshot-blobs.js';
import { findSnapshot, insertSnapshot, listSnapshots } from '../../src/store/snapshots.js';
import { beginAssignment, findAssignment } from '../../src/store/assignments.js';
import { insertPart, keepMessage, reserveEventIds } from '../../src/store/task-state.js';
import { acquireInTurn } from '../../src/store/waiters.js';
import { auth, seedOf, useStore } from './support.js';

const assignment = (taskId: string) => ({ taskId, runId: 'r', assignmentId: 's' });

const use = useStore();

const NOTHING: NamedByOthers = { blobs: new Map(), snapshots: new Map(), keys: new Map() };
const TTL_MS = 60_000;

const blob = (filename: string, metadata: object) =>
  putBlob(use.store, Buffer.from(`${filename} of a task`), { filename, metadata: { ...metadata } });

async function snapshot(taskId: string, key: string, endState: 'done' | 'running', more: object = {}) {
  const metadata = { processId: key, taskId, prefix: use.store.prefix };
  const blobId = await blob('workdir', metadata);
  const fields = { key, taskId, runId: `run-${taskId}`, blobId, sessionId: 't', endState };
  return { blobId, id: await insertSnapshot(use.store, { ...fields, ...more }) };
}

/** All that a task can leave, for a task that ended while its host was gone. */
async function leave(taskId: string, key = taskId) {
  const { store } = use;
  const runId = `run-${taskId}`;
  const mine = { taskId, runId, prefix: store.prefix };
  const change = await blob('workdir', { ...mine, processId: key });
  const first = await snapshot(taskId, key, 'running', { changeBlobIds: [change] });
  const end = await snapshot(taskId, key, 'done');
  const loose = await reserveBlob(store, taskId);
  await putBlob(store, Buffer.from('half'), { filename: 'workdir', id: loose, metadata: mine });
  const framesBlobId = await blob('journal', mine);
  const ledgerBlobId = await blob('ledger', mine);
  const at = { firstId: 1, lastId: 9, ledgerFrom: 0, ledgerTo: 5 };
  await insertPart(store, { taskId, runId, ...at, framesBlobId, ledgerBlobId });
  await keepMessage(store, { taskId, runId }, { messageId: 'm', text: 'hi' });
  await reserveEventIds(store, { taskId, runId }, 0, 9);
  await keepText(store, { taskId, runId }, 'more than a payload takes');
  await beginAssignment(store, { taskId, runId, assignmentId: 's', hostId: 'dead', ordinal: 0 });
  const deliverable = await blob('deliverable', { ...mine, path: 'deliverables/report.pdf' });
  const file = await blob('file', { ...mine, processId: taskId, path: 'data.csv' });
  const seedId = await insertSeed(store, { authJson: auth(taskId), pool: `pool-${taskId}` });
  await acquireSeed(store, { seedId }, 'somebody/else', TTL_MS);
  await acquireInTurn(store, { seedId }, { taskId, runId, assignmentId: 's' }, TTL_MS);
  const blobs = [change, first.blobId, end.blobId, loose, framesBlobId, ledgerBlobId, deliverable, file];
  return { blobs, first, end, deliverable, file, seedId };
}

/** What a purge leaves: credentials, and what is no task's. */
const STAY = ['codex_quarantine', 'codex_settings'];

/** Names of all collections that the code has, without the prefix. */
async function collectionNames(): Promise<string[]> {
  const folder = join(packageRoot, 'src');
  const names: string[] = [];
  for (const file of await readdir(folder, { recursive: true })) {
    if (!file.endsWith('.ts')) continue;
    const source = await readFile(join(folder, file), 'utf8');
    names.push(...[...source.matchAll(/prefix\}_(codex_\w+)`/g)].map(([, name = '']) => name));
  }
  return [...new Set(names)].sort();
}

const host = (hostId: string, ttlMs: number) =>
  registerHost(use.store, { hostId, listenerUrl: '', version: '', ttlMs });

/** Every document of this test's collections and of the bucket in which a text stands. */
async function naming(store: Store, text: string): Promise<string[]> {
  const all = await store.db.collections();
  const ours = all.filter(
    ({ collectionName: name }) => name.startsWith(`${store.prefix}_`) || name === 'fs.files',
  );
  const found: string[] = [];
  for (const collection of ours)
    for (const document of await collection.find().toArray())
      if (JSON.stringify(document).includes(text)) found.push(collection.collectionName);
  return found;
}

/** Ids of blobs of which there are chunks without a file. */
async function orphans({ db }: Store): Promise<string[]> {
  const chunks = await db.collection('fs.chunks').find().project({ files_id: 1 }).toArray();
  const files = await db.collection('fs.files').find().project({ _id: 1 }).toArray();
  const known = new Set(files.map(({ _id }) => String(_id)));
  return chunks.map((each) => String(each['files_id'])).filter((id) => !known.has(id));
}

test('a purge removes all of a task, and nothing of another with the same key', async () => {
  const { store } = use;
  const gone = await leave('gone', 'shared');
  const other = await leave('other', 'shared');
  await host('dead', -1);
  for (const taskId of ['gone', 'other']) await requestEviction(store, 'dead', assignment(taskId));
  const before = await naming(store, 'other');
  // What is not left here is not seen to go.
  const left = new Set([...(await naming(store, 'gone')), ...STAY.map((name) => `${store.prefix}_${name}`)]);
  const every = (await collectionNames()).map((name) => `${store.prefix}_${name}`);
  expect([...left].sort()).toEqual([...every, 'fs.files'].sort());

  const remains = await findRemains(store, 'gone', NOTHING);
  expect(remains.left).toEqual([]);
  expect(remains.snapshots.map(({ id }) => id)).toEqual([gone.end.id, gone.first.id]);
  await removeRemains(store, remains);

  expect(await naming(store, 'gone')).toEqual([`${store.prefix}_codex_seeds`]);
  for (const id of gone.blobs) expect(await findBlob(store, id)).toBeNull();
  expect(await naming(store, 'other')).toEqual(before);
  for (const id of other.blobs) expect(await findBlob(store, id)).not.toBeNull();
  expect((await listSnapshots(store, 'shared')).map(({ id }) => id)).toEqual([other.end.id, other.first.id]);
  expect(await orphans(store)).toEqual([]);
  // The seed is the account's, whoever used it.
  expect((await seedOf(store, gone.seedId)).lease?.holder).toBe('somebody/else');
  const again = await findRemains(store, 'gone', NOTHING);
  expect(isEmpty(again)).toBe(true);
  await removeRemains(store, again);
});

test('every collection and every kind of blob has its row in docs/purge.md', async () => {
  const page = await readFile(join(packageRoot, 'docs/purge.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `\{prefix\}_(codex_\w+)`/gm)].map(([, name = '']) => name);
  expect(rows.sort()).toEqual(await collectionNames());
  const [blobs = ''] = /^\| `fs\.files`.*$/m.exec(page) ?? [];
  for (const name of [...OWN_NAMES, 'workdir']) expect(blobs).toContain(`\`${name}\``);
});

test('a purge reports an assignment on a living host, and removes one elsewhere', async () => {
  const { store } = use;
  const assignmentOf = (hostId: string, taskId: string) => ({ ...assignment(taskId), hostId, ordinal: 0 });
  await host('alive', TTL_MS);
  await beginAssignment(store, assignmentOf('alive', 't'));
  await beginAssignment(store, assignmentOf('unknown', 'u'));
  const remains = await findRemains(store, 't', NOTHING);
  expect(remains.left).toEqual([{ what: 'host alive', why: 'it is evicting the task' }]);
  for (const taskId of ['t', 'u']) await removeRemains(store, await findRemains(store, taskId, NOTHING));
  expect(await findAssignment(store, 't')).not.toBeNull();
  expect(await findAssignment(store, 'u')).toBeNull();
});

test('the next purge removes what an interrupted one left, after any write', async () => {
  const { store } = use;
  const { blobs } = await leave('t');
  await host('dead', -1);
  await requestEviction(store, 'dead', assignment('t'));
  let stops = 0;
  for (let writes = 1, done = false; !done; writes += 1) {
    const remains = await findRemains(store, 't', NOTHING);
    done = await removeRemains(stoppingAfter(store, writes), remains).then(
      () => true,
      (error: Error) => {
        expect(error.message).toBe('stopped');
        stops += 1;
        return false;
      },
    );
    expect(await orphans(store)).toEqual([]);
    expect(writes).toBeLessThan(60);
  }
  expect(stops).toBeGreaterThan(5);
  expect(await naming(store, '"t"')).toEqual([]);
  for (const id of blobs) expect(await findBlob(store, id)).toBeNull();
  expect(isEmpty(await findRemains(store, 't', NOTHING))).toBe(true);
  expect(await snapshotsOf(store).countDocuments()).toBe(0);
});

test('a purge keeps and reports what a running task’s input names', async () => {
  const { store } = use;
  const { file, end, first, deliverable } = await leave('t');
  const byKey = await findRemains(store, 't', {
    blobs: new Map([[file, 'user']]),
    snapshots: new Map(),
    keys: new Map([['t', 'heir']]),
  });
  expect(byKey.left).toEqual([
    { what: `snapshot ${end.id}`, why: 'the input of running task heir names it' },
    { what: `file ${file}`, why: 'the input of running task user names it' },
  ]);
  await removeRemains(store, byKey);
  for (const id of [file, end.blobId]) expect(await findBlob(store, id)).not.toBeNull();
  for (const id of [deliverable, first.blobId]) expect(await findBlob(store, id)).toBeNull();
  expect(await findSnapshot(store, end.id)).not.toBeNull();
  expect(await areKept(store, [end.blobId])).toBe(true);

  const byId = await findRemains(store, 't', { ...NOTHING, snapshots: new Map([[end.id, 'heir']]) });
  expect(byId.snapshots).toEqual([]);
  await removeRemains(store, await findRemains(store, 't', NOTHING));
  for (const id of [file, end.blobId]) expect(await findBlob(store, id)).toBeNull();
});

const HOLDER = 't/11111111-2222-4333-8444-555555555555/99999999-8888-4777-8666-555555555555';

test('a purge keeps and reports credentials, valid leases and living hosts', async () => {
  const { store } = use;
  const [held, over] = [
    await insertSeed(store, { authJson: auth('a'), pool: 'p' }),
    await insertSeed(store, { authJson: auth('b'), pool: 'q' }),
  ];
  await acquireSeed(store, { seedId: held }, HOLDER, TTL_MS);
  await acquireSeed(store, { seedId: over }, HOLDER, -2 * TTL_MS);
  const lease = { seedId: held, holder: HOLDER, leaseEpoch: 1 };
  const quarantineId = await quarantineAuth(store, lease, auth('c'), { taskId: 't', reason: 'x' });
  await host('alive', TTL_MS);
  await requestEviction(store, 'alive', assignment('t'));
  const remains = await findRemains(store, 't', NOTHING);
  expect(remains.left.map(({ what }) => what)).toEqual([
    'host alive',
    `lease of seed ${held}`,
    `quarantined credential ${quarantineId}`,
  ]);
  await removeRemains(store, remains);
  expect((await seedOf(store, held)).lease?.holder).toBe(HOLDER);
  expect((await seedOf(store, over)).lease).toBeNull();
  expect(await hostsOf(store).findOne({ _id: 'alive' })).toMatchObject({ evict: ['t/r/s'], forget: ['t'] });
  expect(await seedsOf(store).countDocuments()).toBe(2);
});

test('a purge removes snapshots of earlier versions, but not of other writers', async () => {
  const { store } = use;
  const workdirBlobId = new ObjectId(await blob('workdir', { processId: 't' }));
  const fields = { processId: 't', capturedAt: new Date(), endState: 'done', sessionId: null } as const;
  await snapshotsOf(store).insertMany([
    { _id: new ObjectId(), ...fields, workdirBlobId, layout: 2 },
    { _id: new ObjectId(), ...fields, workdirBlobId: new ObjectId() },
  ]);
  const foreign = [
    await blob('deliverable', { taskId: 't', prefix: 'elsewhere' }),
    await blob('their-own', { taskId: 't' }),
    await blob('file', { processId: 't' }),
  ];
  const old = await blob('deliverable', { taskId: 't' });
  await removeRemains(store, await findRemains(store, 't', NOTHING));
  expect((await listSnapshots(store, 't')).map(({ layout }) => layout)).toEqual([1]);
  for (const id of [old, workdirBlobId.toHexString()]) expect(await findBlob(store, id)).toBeNull();
  for (const id of foreign) expect(await findBlob(store, id)).not.toBeNull();
});

const WRITES = new Set(['deleteOne', 'deleteMany', 'updateOne', 'updateMany', 'insertOne']);

/** The store, but after so many writes it fails, as a process that is killed. */
function stoppingAfter(store: Store, writes: number): Store {
  let left = writes;
  const collection = (name: string) =>
    new Proxy(store.db.collection<Document>(name), {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (WRITES.has(String(key)) && left-- <= 0) return Promise.reject(new Error('stopped'));
          return value.apply(target, args) as unknown;
        };
      },
    });
  const db = new Proxy(store.db, {
    get(target, key) {
      if (key === 'collection') return collection;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return { ...store, db };
}
