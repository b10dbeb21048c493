import { execFile, execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { once } from 'node:events';
import {
  chmod,
  chown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { closeSync, createReadStream, openSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { streamBlob } from '../../src/store/snapshot-blobs.js';
import type { Snapshot } from '../../src/store/snapshots.js';
import { useStore } from '../store/support.js';
import { elapse } from '../support/elapse.js';
import { testFolder } from '../support/folders.js';
import { processFolder, runRoot } from '../support/run-root.js';
import { planSnapshot } from '../../src/snapshots/plan-snapshot.js';
import { noneSkipped } from '../../src/snapshots/scan-tree.js';
import { readManifest } from '../../src/snapshots/snapshot-manifest.js';
import { clearParts } from '../../src/workdir/store-upload.js';
import { taskEntries } from '../../src/snapshots/task-entries.js';
import { at, checkpoint, restored, snapshotHost } from './snapshot-support.js';

// Time for a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const use = useStore();

const run = promisify(execFile);

async function archiveFile({ blobId }: Snapshot): Promise<string> {
  const path = join(await testFolder(), 'a.tgz');
  const file = await open(path, 'w');
  for await (const bytes of streamBlob(use.store, blobId)) await file.write(bytes);
  await file.close();
  return path;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes as Buffer);
  return hash.digest('hex');
}

it('a file that is too large is refused by its name before it is read, and once', async () => {
  const { folder, take } = await snapshotHost(use.store);
  await writeFile(join(folder.work, 'hole'), '');
  await truncate(join(folder.work, 'hole'), 8 * 2 ** 40);
  const began = performance.now();
  await expect(take()).rejects.toMatchObject({
    code: 'BadInput',
    message: expect.stringMatching(/^With work\/hole the workdir is larger.*snapshot\.exclude$/) as unknown,
  });
  expect(performance.now() - began).toBeLessThan(20_000);
});

describe('a restored snapshot', () => {
  it('has the rest of a tree that is deeper than its new place allows', async () => {
    const { folder, take, warned } = await snapshotHost(use.store);
    await writeFile(at(folder, 'beside'), 'x');
    const nest = `import os
for _ in range(19): os.mkdir('d' * 200); os.chdir('d' * 200)
open('leaf', 'w').write('x')`;
    await run('python3', ['-c', nest], { cwd: folder.work });
    const to = await restored(use.store, await take());
    expect(warned).toEqual([[expect.stringMatching(/^Not in the snapshot: work\/d{200}.*ENAMETOOLONG/)]]);
    expect(await readFile(at(to, 'beside'), 'utf8')).toBe('x');
    expect(await readdir(at(to, ...Array<string>(16).fill('d'.repeat(200))))).toEqual(['d'.repeat(200)]);
  });

  it('has names of any kind, with rights, and times to the microsecond', async () => {
    const { folder, take } = await snapshotHost(use.store);
    const deep = Array.from({ length: 40 }, (_, i) => `folder ${i}`).join('/');
    const names = [
      'ünï',
      'a b',
      'line\nbreak',
      '-rf',
      'q\'"`$',
      '日本語.txt',
      ' ',
      `${deep}/x`,
      'n'.repeat(255),
    ];
    const time = 1_600_000_000.123456;
    for (const name of names) {
      await mkdir(join(at(folder, name), '..'), { recursive: true });
      await writeFile(at(folder, name), name);
      await chmod(at(folder, name), 0o640);
      await utimes(at(folder, name), time, time);
    }
    await mkdir(at(folder, 'empty'));
    await mkdir(at(folder, 'shared'), { mode: 0o777 });
    await chmod(at(folder, 'shared'), 0o1777);
    await utimes(at(folder, 'shared'), time, time);
    await symlink('/nowhere\n', at(folder, 'dangling'));
    await symlink(`${'long/'.repeat(60)}ü`, at(folder, 'far'));
    await lutimes(at(folder, 'dangling'), time, time);
    await writeFile(at(folder, 'suid'), 'x');
    await chmod(at(folder, 'suid'), 0o4755);

    const to = await restored(use.store, await take());
    for (const name of names) {
      expect(await readFile(at(to, name), 'utf8')).toBe(name);
      const { mode, mtimeMs } = await stat(at(to, name));
      expect({ name, mode: mode & 0o7777, mtimeMs: Math.round(mtimeMs * 1000) / 1000 }).toEqual({
        name,
        mode: 0o640,
        mtimeMs: time * 1000,
      });
    }
    expect(await readdir(at(to, 'empty'))).toEqual([]);
    const shared = await stat(at(to, 'shared'));
    expect([shared.mode & 0o7777, Math.floor(shared.mtimeMs)]).toEqual([0o1777, 1_600_000_000_123]);
    expect(await readlink(at(to, 'dangling'))).toBe('/nowhere\n');
    expect(Math.floor((await lstat(at(to, 'dangling'))).mtimeMs)).toBe(1_600_000_000_123);
    expect(await readlink(at(to, 'far'))).toBe(`${'long/'.repeat(60)}ü`);
    expect((await stat(at(to, 'suid'))).mode & 0o7777).toBe(0o755);
  });

  it('has times before 1970 and after 2242', async () => {
    const { folder, take } = await snapshotHost(use.store);
    const times = { before: -86_400, barely: -0.5, after: 9_000_000_000 };
    for (const [name, time] of Object.entries(times)) {
      await mkdir(at(folder, `${name}.d`));
      await writeFile(at(folder, name), 'x');
      await symlink('x', at(folder, `${name}.l`));
      const date = new Date(time * 1000);
      for (const each of [name, `${name}.d`, `${name}.l`]) await lutimes(at(folder, each), date, date);
    }
    const to = await restored(use.store, await take());
    for (const [name, time] of Object.entries(times))
      for (const each of [name, `${name}.d`, `${name}.l`])
        expect([each, (await lstat(at(to, each))).mtimeMs]).toEqual([each, time * 1000]);
  });

  it('has files of several names as one, and holes as holes', async () => {
    const { folder, take } = await snapshotHost(use.store);
    await writeFile(at(folder, 'one'), 'shared');
    await mkdir(at(folder, 'sub'));
    await link(at(folder, 'one'), at(folder, 'sub', 'two'));
    const sparse = await open(at(folder, 'sparse'), 'w');
    await sparse.write('head', 0);
    await sparse.write('middle', 40 * 1024 * 1024);
    await sparse.truncate(60 * 1024 * 1024);
    await sparse.close();
    const snapshot = await take();
    const to = await restored(use.store, snapshot);
    const [one, two] = [await stat(at(to, 'one')), await stat(at(to, 'sub', 'two'))];
    expect([one.ino === two.ino, one.nlink]).toEqual([true, 2]);
    const back = await stat(at(to, 'sparse'));
    expect(back.size).toBe(60 * 1024 * 1024);
    expect(back.blocks * 512).toBeLessThan(8 * 1024 * 1024);
    expect(await hashOf(at(to, 'sparse'))).toBe(await hashOf(at(folder, 'sparse')));
  });

  it('has files that nobody may read and folders that nobody may enter', async () => {
    const { folder, take } = await snapshotHost(use.store);
    const isRoot = process.getuid?.() === 0;
    const parents = [runRoot(), processFolder(), join(folder.root, '..', '..'), join(folder.root, '..')];
    await mkdir(at(folder, 'closed'));
    await writeFile(at(folder, 'closed', 'in'), 'x');
    await writeFile(at(folder, 'locked'), 'secret');
    for (const path of ['closed/in', 'closed', 'locked']) {
      if (isRoot) await chown(at(folder, path), 65534, 65534);
      await chmod(at(folder, path), 0);
    }
    if (isRoot) {
      // Root may read all: the owner who may not has to be somebody else, who can come here.
      for (const path of [folder.root, folder.work, folder.codexHome]) await chown(path, 65534, 65534);
      for (const path of parents) await chmod(path, 0o755);
      process.seteuid!(65534);
    }
    let snapshot: Snapshot;
    try {
      await expect(readFile(at(folder, 'locked'))).rejects.toThrow('EACCES');
      snapshot = await take();
      expect((await stat(at(folder, 'closed'))).mode & 0o777).toBe(0);
    } finally {
      if (isRoot) process.seteuid!(0);
      await chmod(runRoot(), 0o700);
    }
    expect(snapshot.skipped).toBeNull();
    const to = await restored(use.store, snapshot);
    expect((await stat(at(to, 'closed'))).mode & 0o777).toBe(0);
    expect((await stat(at(to, 'locked'))).mode & 0o777).toBe(0);
    await chmod(at(to, 'closed'), 0o700);
    await chmod(at(to, 'locked'), 0o600);
    expect((await stat(at(to, 'closed', 'in'))).mode & 0o777).toBe(0);
    expect(await readFile(at(to, 'locked'), 'utf8')).toBe('secret');
  });

  it('has the rest when something cannot be kept, and the snapshot names what', async () => {
    const { folder, take, logged, warned } = await snapshotHost(use.store);
    const server = createServer().listen(at(folder, 'socket'));
    await once(server, 'listening');
    execFileSync('mkfifo', [at(folder, 'pipe')]);
    await writeFile(Buffer.concat([Buffer.from(`${folder.work}/`), Buffer.from([0xff, 0xfe])]), 'x');
    await writeFile(at(folder, 'kept'), 'x');
    const settings = { key: 'k', keep: 5, checkpoint: 'end', exclude: ['*.tmp', 'kep?'] } as const;
    const partly = await take({ settings: { ...settings, exclude: [...settings.exclude] } });
    expect(warned.at(-1)).toEqual([
      expect.stringMatching(/^Not in the snapshot: .*work\/pipe \(a socket, pipe or device\)/),
      'Nothing in the workdir matches snapshot.exclude *.tmp',
    ]);
    expect(partly.skipped).toEqual({ count: 3, first: expect.any(Array) as unknown });
    const snapshot = await take();
    expect(warned.at(-1)).toHaveLength(1);
    server.close();
    expect(snapshot.skipped?.count).toBe(3);
    expect(snapshot.skipped?.first).toContainEqual({ name: 'work/pipe', why: 'a socket, pipe or device' });
    expect(snapshot.skipped?.first).toContainEqual({ name: 'work/socket', why: 'a socket, pipe or device' });
    expect(snapshot.skipped?.first.map(({ why }) => why)).toContain('its name is no UTF-8');
    expect(logged).toContainEqual(expect.objectContaining({ msg: 'snapshot.incomplete', count: 3 }));
    expect(await readdir((await restored(use.store, snapshot)).work)).toEqual(['kept']);
  });

  it('comes from an archive that tar and Python’s tar library can read', async () => {
    const { folder, take } = await snapshotHost(use.store);
    await mkdir(join(folder.codexHome, 'sessions'));
    await writeFile(join(folder.codexHome, 'sessions', 'rollout.jsonl'), '{}\n');
    await writeFile(folder.authJson, '{"OPENAI_API_KEY":"secret"}');
    await writeFile(join(folder.codexHome, 'state_5.sqlite'), 'db');
    await mkdir(at(folder, 'ünï'), { recursive: true });
    for (let i = 0; i < 60; i++)
      await writeFile(at(folder, 'ünï', `${i} ${'x'.repeat(90)}`), randomBytes(i * 2_000).toString('hex'));
    const path = await archiveFile(await take());
    const into = await testFolder();
    await run('tar', ['xzf', path, '-C', into]);
    await run('diff', ['-r', join(into, 'work'), folder.work]);
    const { stdout } = await run('python3', [
      '-c',
      'import tarfile,sys\nfor m in tarfile.open(sys.argv[1], "r:gz"): print(m.name)',
      path,
    ]);
    const names = stdout.trim().split('\n');
    expect(names).toHaveLength(62);
    expect(names).toContain('home/.codex/sessions/rollout.jsonl');
    expect(stdout).not.toMatch(/auth|sqlite/);
  });
});

describe('a snapshot of files that change during it', () => {
  it('is taken, whether the files grow, shrink, vanish or become links', async () => {
    const { folder, take } = await snapshotHost(use.store);
    const size = 1024 * 1024;
    const names = Array.from({ length: 12 }, (_, i) => `f${i}`);
    for (const name of names) await writeFile(at(folder, name), Buffer.alloc(size, name));
    const ended = new AbortController();
    const outside = await testFolder();
    await writeFile(join(outside, 'secret'), 'not in a snapshot');
    const change = async () => {
      for (let i = 0; !ended.signal.aborted; i++) {
        const path = at(folder, names[i % names.length]!);
        if (i % 4 === 0) await truncate(path, 100).catch(() => undefined);
        if (i % 4 === 1) await writeFile(path, Buffer.alloc(size * 2, 'y'));
        if (i % 4 === 2) await rm(path, { force: true });
        if (i % 4 === 3) {
          await symlink(join(outside, 'secret'), `${path}.new`).catch(() => undefined);
          await rename(`${path}.new`, path).catch(() => undefined);
        }
      }
    };
    const changing = change();
    try {
      for (let i = 0; i < 4; i++) {
        const to = await restored(use.store, await take());
        for (const name of await readdir(to.work))
          if ((await lstat(at(to, name))).isFile())
            expect((await readFile(at(to, name))).includes('not in a snapshot')).toBe(false);
      }
    } finally {
      ended.abort();
      await changing;
    }
  });

  it('fails when the workdir itself is gone, and replaces no earlier one', async () => {
    const { folder, take } = await snapshotHost(use.store, 'gone');
    await rm(folder.work, { recursive: true });
    await expect(take()).rejects.toThrow('is not on this host any more');
  });
});

describe.runIf(process.env['CODEX_TASK_TEST_LARGE_FILES'])('a file of four gibibytes', () => {
  it('comes back as it was', { timeout: 900_000 }, async () => {
    const { folder, take } = await snapshotHost(use.store);
    const file = await open(at(folder, 'large'), 'w');
    // What does not shrink goes through a database that takes ten megabytes a second.
    const pieces = [randomBytes(1024 * 1024), Buffer.alloc(1024 * 1024, 'a line of text\n')];
    for (let i = 0; i < 4097; i++) await file.write(pieces[i % 8 === 0 ? 0 : 1]!);
    await file.close();
    const to = await restored(use.store, await take());
    expect((await stat(at(to, 'large'))).size).toBe(4097 * 1024 * 1024);
    expect(await hashOf(at(to, 'large'))).toBe(await hashOf(at(folder, 'large')));
  });
});

it('the leftover of a cut upload is in no snapshot', async () => {
  const { folder, take } = await snapshotHost(use.store);
  await mkdir(at(folder, 'uploads/sub'), { recursive: true });
  const part = `.${'a1'.repeat(9)}.part`;
  for (const name of [part, 'whole', `sub/${part}`]) await writeFile(at(folder, 'uploads', name), 'x');
  const to = await restored(use.store, await take());
  expect((await readdir(at(to, 'uploads'))).sort()).toEqual(['sub', 'whole']);
  expect(await readdir(at(to, 'uploads/sub'))).toEqual([part]);
  await clearParts(folder.work);
  expect((await readdir(at(folder, 'uploads'))).sort()).toEqual(['sub', 'whole']);
});

it('a folder of very many names is read with pauses', async () => {
  const { folder } = await snapshotHost(use.store);
  for (let n = 0; n < 1_100; n++) closeSync(openSync(at(folder, `${n}`), 'w'));
  const entries = [...taskEntries(folder, null, noneSkipped())];
  expect(entries.findIndex((entry) => entry !== null)).toBe(1);
  expect(entries.filter((entry) => entry !== null)).toHaveLength(1_100);
});

it('a checkpoint with more changes than it may remember stores the whole workdir', async () => {
  const { folder, take } = await snapshotHost(use.store);
  await writeFile(at(folder, 'large'), randomBytes(5_000_000));
  // What is younger counts as changed once more.
  await elapse(200);
  await take(checkpoint);
  for (const name of ['a', 'b', 'c']) await writeFile(at(folder, name), 'x');
  const last = await readManifest(folder, 'k');
  expect(await planSnapshot(folder, null, last, 'checkpoint', 3)).toMatchObject({ kind: 'changes' });
  expect(await planSnapshot(folder, null, last, 'checkpoint', 2)).toEqual({ kind: 'whole' });
});
