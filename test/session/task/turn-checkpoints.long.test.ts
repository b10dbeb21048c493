import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { readdir } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { ObjectId } from 'mongodb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endSnapshots } from '../../../src/snapshots/snapshots-under-way.js';
import type { TaskFolder } from '../../../src/task-folder/task-folder.js';
import { deleteBlob, findBlob, putBlob } from '../../../src/store/blobs.js';
import { type Store } from '../../../src/store/mongo.js';
import { collectLooseBlobs, reserveBlob } from '../../../src/store/snapshot-blobs.js';
import { deleteSnapshot, listSnapshots, pruneSnapshots } from '../../../src/store/snapshots.js';
import { until } from '../../support/until.js';
import { openTestDatabase, type TestDatabase } from '../../support/mongo.js';
import { at, checkpoint, restored, snapshotHost } from '../../snapshots/snapshot-support.js';
import { openStore } from '../../../src/store/open-store.js';

// The embedded server looks through every chunk there is: a database for each test, and time for a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let database: TestDatabase;
let store: Store;

beforeEach(async () => {
  database = await openTestDatabase();
  store = await openStore({ uri: database.uri, prefix: 'optio' });
});
afterEach(async () => {
  await store.close();
  await database.close();
});

const MEGABYTE = 1024 * 1024;
/** Past: what was changed a moment ago is read again, since it may change without another time. */
const OLD = new Date('2024-05-06T07:08:09Z');

/** More than what is always stored whole. */
async function fill(folder: TaskFolder): Promise<void> {
  for (let i = 0; i < 8; i++) {
    await mkdir(at(folder, `d${i}`));
    await writeFile(at(folder, `d${i}`, 'big'), randomBytes(MEGABYTE));
  }
  await settled();
}

/** Until a change is old enough to be told from the next one. */
async function settled(): Promise<void> {
  const changedBefore = Date.now();
  await until('a change of a while ago', () => Date.now() - changedBefore > 150);
}

async function sizeOf(blobId: string): Promise<number> {
  return (await findBlob(store, blobId))?.length ?? 0;
}

describe('a checkpoint', () => {
  it('of an unchanged folder reuses the blob of the last one', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    const first = await take(checkpoint);
    const blobs = await store.db.collection('fs.files').countDocuments();
    const second = await take(checkpoint);
    expect(second.id).not.toBe(first.id);
    expect([second.blobId, second.changeBlobIds]).toEqual([first.blobId, []]);
    expect(await store.db.collection('fs.files').countDocuments()).toBe(blobs);
    expect(second.endState).toBe('running');
    const end = await take({ kind: 'end', endState: 'cancelled' });
    expect([end.blobId, end.endState]).toEqual([first.blobId, 'cancelled']);
  });

  it('stores what changed and restores all of it as it was then', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    await mkdir(at(folder, 'turns-into-a-link'));
    await writeFile(at(folder, 'turns-into-a-link', 'x'), 'x');
    await writeFile(at(folder, 'turns-into-a-folder'), 'x');
    await settled();
    const first = await take(checkpoint);
    await writeFile(at(folder, 'd1', 'big'), 'small now');
    await rm(at(folder, 'd2'), { recursive: true });
    await rename(at(folder, 'd3'), at(folder, 'moved'));
    await rm(at(folder, 'turns-into-a-link'), { recursive: true });
    await symlink('d0', at(folder, 'turns-into-a-link'));
    await rm(at(folder, 'turns-into-a-folder'));
    await mkdir(at(folder, 'turns-into-a-folder'));
    await writeFile(at(folder, 'turns-into-a-folder', 'y'), 'y');
    const second = await take(checkpoint);
    expect(second.blobId).toBe(first.blobId);
    expect(second.changeBlobIds).toHaveLength(1);
    expect(await sizeOf(second.changeBlobIds[0]!)).toBeLessThan(1.2 * MEGABYTE);
    await writeFile(at(folder, 'd2'), 'a file now');
    const third = await take(checkpoint);
    expect(third.changeBlobIds).toEqual([second.changeBlobIds[0], expect.any(String)]);

    const to = await restored(store, third);
    const names = async (each: TaskFolder) => (await readdir(each.work, { recursive: true })).sort();
    expect(await names(to)).toEqual(await names(folder));
    for (const path of [
      'd0/big',
      'd1/big',
      'd2',
      'moved/big',
      'turns-into-a-folder/y',
      'turns-into-a-link/big',
    ])
      expect((await readFile(at(to, path))).equals(await readFile(at(folder, path)))).toBe(true);
    expect(await names(await restored(store, second))).not.toContain('d2');
    expect(await readFile(at(await restored(store, first), 'd2', 'big'))).toHaveLength(MEGABYTE);
  });

  it('detects a change that keeps size and time', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    await writeFile(at(folder, 'same'), 'one');
    await utimes(at(folder, 'same'), OLD, OLD);
    await settled();
    await take(checkpoint);
    await writeFile(at(folder, 'same'), 'two');
    await utimes(at(folder, 'same'), OLD, OLD);
    const to = await restored(store, await take(checkpoint));
    expect(await readFile(at(to, 'same'), 'utf8')).toBe('two');
  });

  it('is whole again when half of the stored parts are outdated', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    await take(checkpoint);
    for (let i = 0; i < 5; i++) await writeFile(at(folder, `d${i}`, 'big'), randomBytes(MEGABYTE));
    expect((await take(checkpoint)).changeBlobIds).toHaveLength(1);
    for (let i = 0; i < 5; i++) await writeFile(at(folder, `d${i}`, 'big'), randomBytes(MEGABYTE));
    const whole = await take(checkpoint);
    expect(whole.changeBlobIds).toEqual([]);
    expect(whole.contentBytes).toBe(8 * MEGABYTE);
  });

  it('is followed by one whole archive at the end, which any tar reads', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    await take(checkpoint);
    await writeFile(at(folder, 'more'), 'x');
    expect((await take(checkpoint)).changeBlobIds).toHaveLength(1);
    expect((await take()).changeBlobIds).toEqual([]);
  });

  it('is whole when another has removed its base', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    const first = await take(checkpoint);
    await deleteSnapshot(store, first.id);
    const second = await take(checkpoint);
    expect(second.blobId).not.toBe(first.blobId);
    await restored(store, second);
  });

  it('is the same when the same call takes it again', async () => {
    const { take } = await snapshotHost(store);
    const call = { request: 'run/activity-7' };
    const [a, b] = await Promise.all([take(checkpoint, call), take(checkpoint, call)]);
    expect(b.id).toBe(a.id);
    expect(await listSnapshots(store, 'k')).toHaveLength(1);
  });

  it('takes no place of the end snapshots that are kept', async () => {
    const { take } = await snapshotHost(store);
    const run = (runId: string) => ({
      ref: { taskId: 'a', runId, assignmentId: 's' },
      settings: { key: 'k', keep: 2, checkpoint: 'turn', exclude: null } as const,
    });
    const ends = [];
    for (const runId of ['1', '2', '3']) ends.push((await take(run(runId))).id);
    const ids = async () => (await listSnapshots(store, 'k')).map(({ id }) => id);
    let newest = '';
    for (let i = 0; i < 10; i++) newest = (await take({ ...run('4'), ...checkpoint })).id;
    expect(await ids()).toEqual([newest, ends[2], ends[1]]);
    const last = await take(run('4'));
    expect(await ids()).toEqual([last.id, ends[2]]);
    await restored(store, last);
  });

  it('keeps what belongs to it as details', async () => {
    const { take } = await snapshotHost(store);
    const details = { journal: [{ from: 1, to: 9 }] };
    expect((await take(checkpoint, { details })).details).toEqual(details);
  });

  it('leaves neither snapshot nor blob when it was aborted', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    const taking = take(checkpoint);
    taking.catch(() => undefined);
    await endSnapshots(folder.root);
    await expect(taking).rejects.toThrow();
    expect(await listSnapshots(store, 'k')).toEqual([]);
    const left = await store.db.collection(`${store.prefix}_codex_snapshot_loose_blobs`).find().toArray();
    expect(left).toEqual([]);
  });
});

describe('blobs of snapshots', () => {
  it('are removed with the last snapshot that names them', async () => {
    const { folder, take } = await snapshotHost(store);
    await fill(folder);
    const first = await take(checkpoint);
    await writeFile(at(folder, 'more'), 'x');
    const second = await take(checkpoint);
    await writeFile(at(folder, 'more'), 'y');
    const third = await take(checkpoint);
    expect(await deleteSnapshot(store, first.id)).toBe(true);
    await deleteSnapshot(store, second.id);
    await restored(store, third);
    expect(await pruneSnapshots(store, 'k', 0)).toEqual([third.id]);
    for (const id of [third.blobId, ...third.changeBlobIds]) expect(await findBlob(store, id)).toBeNull();
    const loose = store.db.collection(`${store.prefix}_codex_snapshot_loose_blobs`);
    expect(await loose.countDocuments()).toBe(0);
  });

  it('are removed after their grace period when a crash left them without one', async () => {
    const { take } = await snapshotHost(store);
    const kept = await take();
    const id = await reserveBlob(store, 'a');
    await putBlob(store, Buffer.from('left over'), { filename: 'workdir', id });
    const foreign = await putBlob(store, Buffer.from("another program's"), { filename: 'workdir' });
    // A crash after the document, before the note was taken back.
    const noted = store.db.collection<{ _id: ObjectId }>(`${store.prefix}_codex_snapshot_loose_blobs`);
    await noted.insertOne({ _id: new ObjectId(kept.blobId), at: new Date() } as { _id: ObjectId });
    expect(await collectLooseBlobs(store)).toEqual([]);
    expect((await collectLooseBlobs(store, -1_000)).sort()).toEqual([id, kept.blobId].sort());
    expect(await findBlob(store, id)).toBeNull();
    for (const each of [kept.blobId, foreign]) expect(await findBlob(store, each)).not.toBeNull();
    expect(await noted.countDocuments()).toBe(0);
  });

  it('make their snapshot unreadable when damaged, and leave older ones usable', async () => {
    const { folder, take } = await snapshotHost(store);
    await writeFile(at(folder, 'a'), 'older');
    const older = await take();
    await writeFile(at(folder, 'a'), 'newer');
    const newer = await take();
    await deleteBlob(store, newer.blobId);
    await expect(restored(store, newer)).rejects.toMatchObject({
      code: 'SnapshotUnreadable',
      message: expect.stringContaining(`resume from an older one of its key: ${older.id}`) as string,
    });
    expect(await readFile(at(await restored(store, older), 'a'), 'utf8')).toBe('older');
  });

  it('are read in order even when their chunks were not written in order', async () => {
    const { folder, take } = await snapshotHost(store);
    await writeFile(at(folder, 'a'), randomBytes(3 * MEGABYTE));
    const snapshot = await take();
    const chunks = store.db.collection('fs.chunks');
    const second = await chunks.findOne({ files_id: new ObjectId(snapshot.blobId), n: 1 });
    await chunks.deleteOne({ _id: second!._id });
    await expect(restored(store, snapshot)).rejects.toThrow('misses its chunk 1');
    await chunks.insertOne(second!);
    const to = await restored(store, snapshot);
    expect((await readFile(at(to, 'a'))).equals(await readFile(at(folder, 'a')))).toBe(true);
  });

  it('are verified by hash before anything is restored', async () => {
    const { folder, take } = await snapshotHost(store);
    await writeFile(at(folder, 'a'), randomBytes(3 * MEGABYTE));
    const snapshot = await take();
    const files_id = new ObjectId(snapshot.blobId);
    const chunks = store.db.collection('fs.chunks');
    const last = await chunks.findOne({ files_id }, { sort: { n: -1 } });
    const data = Buffer.from((last!['data'] as { buffer: Uint8Array }).buffer);
    data[data.length - 1]! ^= 1;
    await chunks.updateOne({ _id: last!._id }, { $set: { data } });
    await expect(restored(store, snapshot)).rejects.toMatchObject({ code: 'SnapshotUnreadable' });
  });
});

it('retention keeps the newest of the key', async () => {
  const { take } = await snapshotHost(store);
  const settings = { key: 'k', keep: 2, checkpoint: 'turn', exclude: null } as const;
  const taken = [];
  for (let i = 0; i < 4; i++) taken.push((await take({ ...checkpoint, settings })).id);
  expect((await listSnapshots(store, 'k')).map(({ id }) => id)).toEqual(taken.slice(-2).reverse());
});

it('a snapshot leaves out its own record', async () => {
  const { take } = await snapshotHost(store);
  await take(checkpoint);
  const to = await restored(store, await take());
  expect(await readdir(to.root)).toEqual(['home', 'work']);
  expect(await readdir(join(to.root, 'home', '.codex'))).toEqual([]);
});
