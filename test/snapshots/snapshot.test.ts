import {
  chmod,
  lstat,
  mkdir,
  readFile,
  readlink,
  stat,
  symlink,
  utimes,
  writeFile,
  truncate,
  access,
} from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { keepSettings } from '../../src/snapshots/keep-settings.js';
import { archiveTask } from '../../src/snapshots/archive-task.js';
import { restoreSnapshot } from '../../src/snapshots/restore-snapshot.js';
import { excluded } from '../../src/snapshots/snapshot-excludes.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { putBlob } from '../../src/store/blobs.js';
import type { Snapshot } from '../../src/store/snapshots.js';
import { useStore } from '../store/support.js';
import { testFolder } from '../support/folders.js';

const use = useStore();

async function emptyTask(): Promise<TaskFolder> {
  const folder = taskFolder(await testFolder(), 'a');
  for (const path of [folder.work, folder.codexHome]) await mkdir(path, { recursive: true, mode: 0o700 });
  return folder;
}

async function save(folder: TaskFolder, exclude: string[] | null = null): Promise<Snapshot> {
  await keepSettings(folder, use.store.seedKeys);
  return snapshotOf(await putBlob(use.store, archiveTask(folder, { exclude }), { filename: 'workdir' }));
}

const snapshotOf = (blobId: string, layout: Snapshot['layout'] = 2): Snapshot => ({
  id: 'f'.repeat(24),
  key: 'k',
  capturedAt: new Date(),
  endState: 'done',
  blobId,
  sessionId: null,
  layout,
  changeBlobIds: [],
  contentBytes: null,
  entries: null,
  skipped: null,
  details: {},
});

/** A snapshot whose archive has just these members. */
async function made(
  members: { name: string; text?: string; link?: string; type?: 'character-device' }[],
  layout: 1 | 2 = 2,
) {
  const tar = pack();
  for (const { name, text = '', link, type } of members)
    if (link !== undefined) tar.entry({ name, type: 'symlink', linkname: link });
    else if (type) tar.entry({ name, type });
    else tar.entry({ name }, text);
  tar.finalize();
  const bytes = gzipSync(await buffer(tar));
  return snapshotOf(await putBlob(use.store, bytes, { filename: 'workdir' }), layout);
}

describe('a snapshot', () => {
  it('restores files, empty folders, links, modes and times, and the thread', async () => {
    const from = await emptyTask();
    const old = new Date('2020-01-02T03:04:05Z');
    await mkdir(join(from.work, 'empty'));
    await mkdir(join(from.work, 'deep/er'), { recursive: true });
    await writeFile(join(from.work, 'deep/er/ünïcode name'), 'text');
    await writeFile(join(from.work, 'run.sh'), '#!/bin/sh\n');
    await chmod(join(from.work, 'run.sh'), 0o755);
    await utimes(join(from.work, 'run.sh'), old, old);
    await symlink('deep/er', join(from.work, 'link'));
    await symlink('/nowhere', join(from.work, 'dead'));
    await mkdir(join(from.codexHome, 'sessions/2026'), { recursive: true });
    await writeFile(join(from.codexHome, 'sessions/2026/rollout-1.jsonl'), '{}\n');
    await writeFile(join(from.codexHome, 'config.toml'), 'model = "m"\n');
    await writeFile(from.authJson, '{"OPENAI_API_KEY":"secret"}');
    await writeFile(join(from.codexHome, 'state_5.sqlite'), 'db');

    const to = await emptyTask();
    await writeFile(join(to.work, 'stale'), 'x');
    await restoreSnapshot(use.store, await save(from), to);
    expect(await readFile(join(to.work, 'deep/er/ünïcode name'), 'utf8')).toBe('text');
    expect((await stat(join(to.work, 'empty'))).isDirectory()).toBe(true);
    const script = await stat(join(to.work, 'run.sh'));
    expect([script.mode & 0o777, script.mtime]).toEqual([0o755, old]);
    expect(await readlink(join(to.work, 'link'))).toBe('deep/er');
    expect(await readlink(join(to.work, 'dead'))).toBe('/nowhere');
    expect(await readFile(join(to.codexHome, 'sessions/2026/rollout-1.jsonl'), 'utf8')).toBe('{}\n');
    expect(await readFile(join(to.codexHome, 'config.toml'), 'utf8')).toMatch(/^model = "m"$/m);
    for (const gone of [join(to.work, 'stale'), to.authJson, join(to.codexHome, 'state_5.sqlite')])
      await expect(access(gone)).rejects.toThrow('ENOENT');
  });

  it('leaves out only what can be rebuilt, and nothing with an empty list', async () => {
    const from = await emptyTask();
    const kept = ['src/keep.py', '.git/HEAD', 'repo/.git/objects/x', 'app.sqlite', 'app.sqlite-wal'];
    for (const path of ['node_modules/x', 'src/a.pyc', ...kept]) {
      await mkdir(join(from.work, path, '..'), { recursive: true });
      await writeFile(join(from.work, path), 'x');
    }
    const usual = await emptyTask();
    await restoreSnapshot(use.store, await save(from), usual);
    for (const path of kept) await access(join(usual.work, path));
    for (const path of ['node_modules', 'src/a.pyc'])
      await expect(lstat(join(usual.work, path))).rejects.toThrow('ENOENT');
    const all = await emptyTask();
    await restoreSnapshot(use.store, await save(from, []), all);
    for (const path of ['node_modules/x', 'src/a.pyc', ...kept]) await access(join(all.work, path));
  });

  it('survives a file that shrinks during the read', async () => {
    const from = await emptyTask();
    const size = 8 * 1024 * 1024;
    await writeFile(join(from.work, 'big'), Buffer.alloc(size, 'x'));
    const archive = archiveTask(from, { exclude: null });
    await new Promise((resolve) => archive.once('readable', resolve));
    await truncate(join(from.work, 'big'), 10);
    const to = await emptyTask();
    const blobId = await putBlob(use.store, archive, { filename: 'workdir' });
    await restoreSnapshot(use.store, snapshotOf(blobId), to);
    expect((await stat(join(to.work, 'big'))).size).toBe(size);
  });

  it('of the Python package is restored to its places, without its credential', async () => {
    const snapshot = await made(
      [
        { name: './notes.txt', text: 'n' },
        { name: 'home/.codex/auth.json', text: '{"OPENAI_API_KEY":"s"}' },
        { name: 'home/.codex/sessions/r.jsonl', text: '{}' },
      ],
      1,
    );
    const to = await emptyTask();
    await restoreSnapshot(use.store, snapshot, to);
    expect(await readFile(join(to.work, 'notes.txt'), 'utf8')).toBe('n');
    expect(await readFile(join(to.codexHome, 'sessions/r.jsonl'), 'utf8')).toBe('{}');
    await expect(access(to.authJson)).rejects.toThrow('ENOENT');
  });
});

describe('a snapshot that must not be trusted', () => {
  it.each([
    [[{ name: 'work/../../escaped', text: 'x' }]],
    [[{ name: '/etc/escaped', text: 'x' }]],
    [
      [
        { name: 'work/a', text: 'x' },
        { name: 'work/a/b', text: 'y' },
      ],
    ],
  ])('is refused, and the workdir stays as it was: %j', async (members) => {
    const to = await emptyTask();
    await writeFile(join(to.work, 'mine'), 'kept');
    await expect(restoreSnapshot(use.store, await made(members), to)).rejects.toMatchObject({
      code: 'SnapshotUnreadable',
    });
    expect(await readFile(join(to.work, 'mine'), 'utf8')).toBe('kept');
  });

  it('cannot write through a link of its own', async () => {
    const outside = await testFolder();
    const to = await emptyTask();
    const snapshot = await made([
      { name: 'work/link', link: outside },
      { name: 'work/link/file', text: 'x' },
    ]);
    await expect(restoreSnapshot(use.store, snapshot, to)).rejects.toMatchObject({
      code: 'SnapshotUnreadable',
    });
    await expect(access(join(outside, 'file'))).rejects.toThrow('ENOENT');
  });

  it('is refused when its bytes are damaged', async () => {
    const blobId = await putBlob(use.store, Buffer.from('no gzip'), { filename: 'workdir' });
    const to = await emptyTask();
    await expect(restoreSnapshot(use.store, snapshotOf(blobId), to)).rejects.toMatchObject({
      code: 'SnapshotUnreadable',
    });
  });
});

describe('exclude patterns', () => {
  it.each([
    ['*.log', 'a/b.log', true],
    ['build', 'x/build', true],
    ['x/*.txt', 'x/a.txt', true],
    ['x/*.txt', 'y/a.txt', false],
    ['.env', '.env', true],
    ['.env', 'src/.env.example', false],
    ['*.pyc', 'a/.pyc', true],
    ['*.pyc', 'a.pyc.txt', false],
    ['*.sqlite*', 'a/b.sqlite-wal', true],
    ['*a.b*', 'acb', false],
    ['/build', 'build', true],
    ['/build', 'x/build', false],
    ['./build', 'build', true],
    ['./build', 'x/build', false],
    ['/*.log', 'a.log', true],
    ['/*.log', 'x/a.log', false],
    ['+(a|b)', 'a', false],
    ['+(a|b)', '+(a|b)', true],
  ])('%s on %s: %s', (pattern, path, expected) => {
    expect(excluded([pattern]).has(path)).toBe(expected);
  });

  it('names patterns that match nothing, except those that another pattern precedes', () => {
    const excludes = excluded(['*.log', 'debug.log', '/build', 'x/*.txt', './', 'dist']);
    for (const path of ['a', 'a/debug.log', 'x', 'x/build', 'x/a.txt']) excludes.has(path);
    expect(excludes.unfit()).toEqual(['/build', 'dist']);
  });
});
