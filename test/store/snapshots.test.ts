import { ObjectId } from 'mongodb';
import { expect, test } from 'vitest';
import { findBlob, putBlob } from '../../src/store/blobs.js';
import { snapshotsOf } from '../../src/store/collections.js';
import {
  findSnapshot,
  insertSnapshot,
  latestSnapshot,
  listSnapshots,
  pruneSnapshots,
} from '../../src/store/snapshots.js';
import { useStore } from './support.js';

const use = useStore();

async function snapshot(key: string, blobId?: string): Promise<{ id: string; blobId: string }> {
  const stored = blobId ?? (await putBlob(use.store, Buffer.from('tar'), { filename: 'workdir' }));
  const fields = { key, blobId: stored, sessionId: 'thread-1', endState: 'done' as const };
  return { id: await insertSnapshot(use.store, fields), blobId: stored };
}

test('writes the document of the Python package, marked as our layout', async () => {
  const { id, blobId } = await snapshot('task-1');
  expect(await snapshotsOf(use.store).findOne({ _id: new ObjectId(id) })).toEqual({
    _id: new ObjectId(id),
    processId: 'task-1',
    capturedAt: expect.any(Date) as Date,
    endState: 'done',
    workdirBlobId: new ObjectId(blobId),
    sessionId: 'thread-1',
    layout: 2,
  });
});

test('the latest snapshot of a key is the newest, and others are found by id', async () => {
  const first = await snapshot('task-1');
  const second = await snapshot('task-1');
  await snapshot('task-2');
  expect(await latestSnapshot(use.store, 'task-1')).toMatchObject({ ...second, key: 'task-1', layout: 2 });
  expect(await findSnapshot(use.store, first.id)).toMatchObject(first);
  expect((await listSnapshots(use.store, 'task-1')).map(({ id }) => id)).toEqual([second.id, first.id]);
  expect(await latestSnapshot(use.store, 'task-3')).toBeNull();
});

test('a snapshot without session and with details keeps both as they are', async () => {
  const blobId = await putBlob(use.store, Buffer.from('tar'), { filename: 'workdir' });
  const details = { journal: [{ blobId, from: 1, to: 9 }] };
  const fields = { key: 'task-1', blobId, sessionId: null, endState: 'cancelled' as const, details };
  const id = await insertSnapshot(use.store, fields);
  expect(await findSnapshot(use.store, id)).toEqual({
    id,
    layout: 2,
    capturedAt: expect.any(Date) as Date,
    changeBlobIds: [],
    contentBytes: null,
    entries: null,
    skipped: null,
    ...fields,
  });
});

test('a document of the Python package has layout 1', async () => {
  const _id = new ObjectId();
  await snapshotsOf(use.store).insertOne({
    _id,
    processId: 'python-1',
    capturedAt: new Date(),
    endState: 'done',
    workdirBlobId: new ObjectId(),
    sessionId: null,
  });
  expect(await latestSnapshot(use.store, 'python-1')).toMatchObject({
    id: _id.toHexString(),
    layout: 1,
    details: {},
  });
});

test.each(['', 'nonsense', 'a'.repeat(24)])('no snapshot exists for %j', async (id) => {
  expect(await findSnapshot(use.store, id)).toBeNull();
});

test('an impossible blob id is refused', async () => {
  await expect(snapshot('task-1', 'nonsense')).rejects.toMatchObject({ code: 'BadInput' });
});

test('pruning keeps the newest and removes documents and blobs of the rest', async () => {
  const other = await snapshot('task-2');
  const made = [];
  for (let i = 0; i < 4; i++) made.push(await snapshot('task-1'));
  const [a, b, c, d] = made;
  expect(await pruneSnapshots(use.store, 'task-1', 2)).toEqual([b!.id, a!.id]);
  expect((await listSnapshots(use.store, 'task-1')).map(({ id }) => id)).toEqual([d!.id, c!.id]);
  for (const gone of [a!, b!]) expect(await findBlob(use.store, gone.blobId)).toBeNull();
  for (const kept of [c!, d!, other]) expect(await findBlob(use.store, kept.blobId)).not.toBeNull();
  expect(await pruneSnapshots(use.store, 'task-1', 2)).toEqual([]);
  expect(await pruneSnapshots(use.store, 'task-1', 0)).toHaveLength(2);
  expect(await findBlob(use.store, d!.blobId)).toBeNull();
});

test('a blob that a kept snapshot shares stays', async () => {
  const first = await snapshot('task-1');
  await snapshot('task-1', first.blobId);
  expect(await pruneSnapshots(use.store, 'task-1', 1)).toEqual([first.id]);
  expect(await findBlob(use.store, first.blobId)).not.toBeNull();
});
