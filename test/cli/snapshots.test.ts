import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../../src/dev/free-port.js';
import { deleteBlob, readBlob } from '../../src/store/blobs.js';
import { type Store } from '../../src/store/mongo.js';
import { checkpoint, snapshotHost } from '../snapshots/snapshot-support.js';
import { testFolder } from '../support/folders.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { runHere } from './run-here.js';
import { openStore } from '../../src/store/open-store.js';

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await openTestDatabase();
  store = await openStore({ uri: database.uri, prefix: 'optio' });
});
afterAll(async () => {
  await store.close();
  await database.close();
});

const cli = (...args: string[]) => runHere(args, { env: { MONGODB_URI: database.uri } });

it('lists, shows, unpacks and deletes snapshots', async () => {
  const { folder, take } = await snapshotHost(store, 'diary');
  await mkdir(join(folder.work, 'notes'));
  await writeFile(join(folder.work, 'notes', 'today.txt'), 'written');
  const first = await take(checkpoint);
  const second = await take();

  const listed = await cli('snapshots', 'ls', 'diary', '--json');
  expect(listed.json()).toMatchObject([
    { snapshotId: second.id, key: 'diary', endState: 'done', threadId: 't', contentBytes: 7, entries: 2 },
    { snapshotId: first.id, endState: 'running' },
  ]);
  expect((await cli('snapshots', 'ls')).stdout).toContain(second.id);
  expect(await cli('snapshots', 'ls', 'other')).toMatchObject({
    code: 0,
    stdout: '',
    stderr: 'No snapshots.\n',
  });

  const shown = await cli('snapshots', 'show', second.id);
  expect(shown.stdout).toMatch(new RegExp(`^${second.id}\n`));
  expect(shown.stdout).toContain('diary');

  const into = join(await testFolder(), 'new');
  expect(await cli('snapshots', 'download', second.id, into)).toMatchObject({
    code: 0,
    stdout: `unpacked ${into}\n`,
  });
  expect(await readFile(join(into, 'work', 'notes', 'today.txt'), 'utf8')).toBe('written');
  const again = await cli('snapshots', 'download', second.id, into);
  expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining('expected a folder') as string });

  expect((await cli('snapshots', 'delete', first.id, '--json')).json()).toEqual([
    { snapshotId: first.id, deleted: true },
  ]);
  for (const command of ['show', 'download', 'delete'])
    expect(await cli('snapshots', command, first.id)).toMatchObject({
      code: 3,
      stderr: `codex-task: no snapshot ${first.id}\n`,
    });
});

it('reports a damaged snapshot on unpack, and leaves no folder behind', async () => {
  const { take } = await snapshotHost(store, 'damaged');
  const { id, blobId } = await take();
  await deleteBlob(store, blobId);
  expect((await cli('snapshots', 'show', id)).stdout).toContain(`${blobId}: it cannot be restored`);
  const folder = await testFolder();
  const failed = await cli('snapshots', 'download', id, join(folder, 'new'), '--json');
  expect(failed.code).toBe(3);
  expect(failed.json()).toMatchObject([{ error: { code: 'SnapshotUnreadable' } }]);
  expect(await readdir(folder)).toEqual([]);
});

it('uploads the input files of a task once its input is valid', async () => {
  const local = join(await testFolder(), 'data.csv');
  await writeFile(local, 'a,b\n');
  const files = () => store.db.collection('fs.files').find({ filename: 'file' }).toArray();
  const run = async (...args: string[]) => {
    const env = { MONGODB_URI: database.uri, TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` };
    return runHere(['start', 'f1', ...args], { env });
  };
  expect(await run('--file', local, '--mode', 'chat')).toMatchObject({ code: 2 });
  expect(await run('--file', `${local}:../x`)).toMatchObject({ code: 2 });
  const missing = await run('--file', '/nowhere');
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringMatching(/--file \/nowhere: ENOENT/)]);
  expect(await files()).toEqual([]);
  // There is no Temporal here; what was uploaded before is what counts.
  expect((await run('--file', `${local}:in/data.csv`, '--file', local)).code).toBe(4);
  const stored = await files();
  expect(stored.map(({ metadata }) => metadata as unknown)).toMatchObject([
    { processId: 'f1', path: 'in/data.csv' },
    { processId: 'f1', path: 'data.csv' },
  ]);
  expect((await readBlob(store, stored[0]!._id.toHexString())).toString()).toBe('a,b\n');
});
