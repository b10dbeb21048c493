import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { ObjectId } from 'mongodb';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { findBlob, putBlob } from '../../src/store/blobs.js';
import { type Store } from '../../src/store/mongo.js';
import { collectLooseBlobs, dropSnapshotBlobs, reserveBlob } from '../../src/store/snapshot-blobs.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { at, checkpoint, restored, snapshotHost } from './snapshot-support.js';
import { openStore } from '../../src/store/open-store.js';

// The embedded server looks through every chunk there is.
vi.setConfig({ testTimeout: 120_000 });

let database: TestDatabase;
let store: Store;

beforeEach(async () => {
  database = await openTestDatabase();
  store = await openStore({ uri: database.uri, prefix: 'optio' });
});
afterEach(async () => {
  vi.useRealTimers();
  await store.close();
  await database.close();
});

const DAY_MS = 24 * 3_600_000;
const looseBlobs = () => store.db.collection('optio_codex_snapshot_loose_blobs');

/** As another host does that takes every note for an old one. */
const clearingUp = async () => {
  await collectLooseBlobs(store, -DAY_MS);
  return true;
};

/** The same in the middle of an upload: the file is stored after it, without what was there by then. */
const clearingUpEarlier = async () => {
  const files_id = { $in: (await looseBlobs().find().toArray()).map(({ _id }) => _id) };
  await store.db.collection('fs.chunks').deleteMany({ files_id });
  await looseBlobs().deleteMany({});
  return true;
};

it('a snapshot names no archive deleted during its upload, and can be repeated', async () => {
  const { folder, take } = await snapshotHost(store);
  await writeFile(at(folder, 'a'), 'x');
  const call = { request: 'r/same' };
  await expect(take({}, { ...call, mayRecord: clearingUp })).rejects.toMatchObject({ code: 'Unavailable' });
  expect([await listSnapshots(store, 'k'), await looseBlobs().countDocuments()]).toEqual([[], 0]);
  await restored(store, await take({}, call));
});

it('a checkpoint stores the whole folder when its earlier parts were deleted', async () => {
  const { folder, take } = await snapshotHost(store);
  await writeFile(at(folder, 'big'), randomBytes(5 * 1024 * 1024));
  await take(checkpoint);
  await writeFile(at(folder, 'a'), 'x');
  const calls: boolean[] = [];
  const mayRecord = async () => calls.push(true) > 1 || clearingUpEarlier();
  const taken = await take(checkpoint, { mayRecord });
  expect([calls.length, taken.changeBlobIds]).toEqual([2, []]);
  await restored(store, taken);
});

it('a repeated call does not return the first archive when that is deleted', async () => {
  const { folder, take } = await snapshotHost(store);
  await writeFile(at(folder, 'a'), 'x');
  const first = await take({}, { request: 'r/same' });
  // As it is left by a call that ended between the document and its look at the note.
  await looseBlobs().insertOne({ _id: new ObjectId(first.blobId), at: new Date() });
  expect((await take({}, { request: 'r/same' })).id).toBe(first.id);
  await store.db.collection('fs.files').deleteMany({});
  const second = await take({}, { request: 'r/same' });
  expect((await listSnapshots(store, 'k')).map(({ id }) => id)).toEqual([second.id]);
  await restored(store, second);
});

it('an archive stays when it is named before the collector marks it', async () => {
  const { take } = await snapshotHost(store);
  const { blobId } = await take();
  await dropSnapshotBlobs(store, [blobId]);
  expect(await findBlob(store, blobId)).not.toBeNull();
});

it('an archive is no leftover because its host’s clock is days off', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3 * DAY_MS });
  const id = await reserveBlob(store, 'a');
  vi.setSystemTime(Date.now() + 6 * DAY_MS);
  await putBlob(store, Buffer.from('x'), { filename: 'workdir', id });
  expect(await collectLooseBlobs(store)).toEqual([]);
});
