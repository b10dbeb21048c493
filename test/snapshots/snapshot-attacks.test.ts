import { access, lstat, mkdir, readFile, readdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import { describe, expect, it, vi } from 'vitest';
import { placeFiles } from '../../src/workdir/place-files.js';
import { restoreSnapshot } from '../../src/snapshots/restore-snapshot.js';
import { taskFolder, type TaskFolder } from '../../src/task-folder/task-folder.js';
import { newUnpacking, unpackArchive } from '../../src/snapshots/unpack-archive.js';
import { putBlob } from '../../src/store/blobs.js';
import { findSnapshot, insertSnapshot, type NewSnapshot, type Snapshot } from '../../src/store/snapshots.js';
import { useStore } from '../store/support.js';
import { testFolder } from '../support/folders.js';
import { signed } from './hostile/generate-archive.js';

// Time for a busy machine.
vi.setConfig({ testTimeout: 120_000 });

const use = useStore();

type Member = Partial<Header> & { name: string; text?: string };

async function archive(members: readonly Member[]): Promise<Buffer> {
  const tar = pack();
  for (const { text, ...header } of members)
    if (header.type === undefined || header.type === 'file') tar.entry(header, text ?? '');
    else tar.entry({ ...header, size: 0 });
  tar.finalize();
  return gzipSync(await buffer(tar));
}

async function snapshotOf(bytes: Buffer, more: Partial<NewSnapshot> = {}): Promise<Snapshot> {
  const blobId = await putBlob(use.store, bytes, { filename: 'workdir' });
  const id = await insertSnapshot(use.store, {
    key: blobId,
    blobId,
    sessionId: null,
    endState: 'done',
    ...more,
  });
  return (await findSnapshot(use.store, id))!;
}

/** A task whose workdir holds something already, and a folder beside its host's. */
async function target(): Promise<{ folder: TaskFolder; outside: string }> {
  const root = await testFolder();
  const folder = taskFolder(join(root, 'data'), 'a');
  for (const path of [folder.work, folder.codexHome]) await mkdir(path, { recursive: true });
  await writeFile(join(folder.work, 'mine'), 'kept');
  const outside = join(root, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'secret'), 'secret');
  return { folder, outside };
}

async function refused(snapshot: Snapshot, folder: TaskFolder, why: RegExp): Promise<void> {
  await expect(restoreSnapshot(use.store, snapshot, folder)).rejects.toMatchObject({
    code: 'SnapshotUnreadable',
    message: expect.stringMatching(why) as string,
  });
  expect(await readFile(join(folder.work, 'mine'), 'utf8')).toBe('kept');
}

describe('restoring an untrusted archive, with the workdir left as it was,', () => {
  it('refuses a name that climbs out with ..', async () => {
    const { folder } = await target();
    await refused(await snapshotOf(await archive([{ name: 'work/../../x', text: 'x' }])), folder, /outside/);
    await refused(await snapshotOf(await archive([{ name: 'work/a/..', text: 'x' }])), folder, /outside/);
  });

  it('refuses an absolute name', async () => {
    const { folder, outside } = await target();
    await refused(
      await snapshotOf(await archive([{ name: join(outside, 'new'), text: 'x' }])),
      folder,
      /outside/,
    );
    await expect(access(join(outside, 'new'))).rejects.toThrow('ENOENT');
  });

  it('refuses a file behind a link of the archive', async () => {
    const { folder, outside } = await target();
    const members: Member[] = [
      { name: 'work/link', type: 'symlink', linkname: outside },
      { name: 'work/link/new', text: 'written outside' },
    ];
    await refused(await snapshotOf(await archive(members)), folder, /EEXIST/);
    await refused(await snapshotOf(await archive(members.toReversed())), folder, /EEXIST/);
    await expect(access(join(outside, 'new'))).rejects.toThrow('ENOENT');
  });

  it.each(['symlink', 'link', 'directory'] as const)(
    'refuses a %s behind a link of the archive',
    async (type) => {
      const { folder, outside } = await target();
      const members: Member[] = [
        { name: 'work/f', text: 'x' },
        { name: 'work/a/b', type: 'symlink', linkname: outside },
        { name: 'work/a/b/planted', type, linkname: type === 'link' ? 'work/f' : '/etc/passwd' },
      ];
      for (const order of [members, members.toReversed(), [members[0]!, members[2]!, members[1]!]])
        await refused(await snapshotOf(await archive(order)), folder, /EEXIST|ENOTDIR|ENOENT/);
      const [older, newer] = [members.slice(2), members.slice(0, 2)];
      for (const [first, second] of [
        [older, newer],
        [newer, older],
      ] as const) {
        const changes = await putBlob(use.store, await archive(second), { filename: 'workdir' });
        const snapshot = await snapshotOf(await archive(first), { changeBlobIds: [changes] });
        await refused(snapshot, folder, /EEXIST|ENOTDIR|ENOENT/);
      }
      expect(await readdir(outside)).toEqual(['secret']);
    },
  );

  it('refuses a folder entry at a link, whose permissions would change', async () => {
    const { folder, outside } = await target();
    const mode = (await lstat(outside)).mode;
    const members: Member[] = [
      { name: 'work/link', type: 'symlink', linkname: outside },
      { name: 'work/link', type: 'directory', mode: 0o777 },
    ];
    await refused(await snapshotOf(await archive(members)), folder, /EEXIST/);
    expect((await lstat(outside)).mode).toBe(mode);
  });

  it('refuses a hard link to the outside', async () => {
    const { folder, outside } = await target();
    for (const linkname of [join(outside, 'secret'), '../../../outside/secret', 'work/../../x'])
      await refused(
        await snapshotOf(await archive([{ name: 'work/h', type: 'link', linkname }])),
        folder,
        /outside/,
      );
    for (const linkname of ['home/.codex/auth.json', 'elsewhere'])
      await refused(
        await snapshotOf(await archive([{ name: 'work/h', type: 'link', linkname }])),
        folder,
        /what it does not hold/,
      );
  });

  it('refuses a hard link through a link', async () => {
    const { folder, outside } = await target();
    const members: Member[] = [
      { name: 'work/out', type: 'symlink', linkname: outside },
      { name: 'work/h', type: 'link', linkname: 'work/out/secret' },
    ];
    await refused(await snapshotOf(await archive(members)), folder, /ENOENT/);
  });

  it.each(['character-device', 'block-device'] as const)('refuses a %s', async (type) => {
    const { folder } = await target();
    await refused(await snapshotOf(await archive([{ name: 'work/dev', type }])), folder, /holds a .*-device/);
  });

  it('refuses a folder with content, whose end tar-stream would await forever', async () => {
    const { folder } = await target();
    const tar = gunzipSync(await archive([{ name: 'work/f', text: 'x'.repeat(600) }]));
    signed(tar, 0, (header) => void header.write('5', 156));
    await refused(await snapshotOf(gzipSync(tar)), folder, /a folder in it has content: "work\/f/);
  });

  it('refuses a name that comes twice', async () => {
    const { folder } = await target();
    const twice = [
      { name: 'work/a', text: 'x' },
      { name: 'work/./a', text: 'y' },
    ];
    await refused(await snapshotOf(await archive(twice)), folder, /EEXIST/);
    const inFile = [
      { name: 'work/a', text: 'x' },
      { name: 'work/a/b', text: 'y' },
    ];
    await refused(await snapshotOf(await archive(inFile)), folder, /ENOTDIR|EEXIST/);
  });

  it('refuses what unpacks to far more than its own size', async () => {
    const { folder } = await target();
    const bomb = await archive([{ name: 'work/zeros', text: '\0'.repeat(80 * 1024 * 1024) }]);
    expect(bomb.length).toBeLessThan(100_000);
    await refused(await snapshotOf(bomb), folder, /more than 200 times its own size/);
  });

  it('refuses more content than the snapshot states', async () => {
    const { folder } = await target();
    const bytes = await archive([{ name: 'work/a', text: 'x'.repeat(1_000) }]);
    await refused(await snapshotOf(bytes, { contentBytes: 999 }), folder, /holds more than 999 bytes/);
  });

  it('refuses too many entries', async () => {
    const folder = await testFolder();
    const bytes = await archive(Array.from({ length: 11 }, (_, i) => ({ name: `${i}`, text: '' })));
    const unpacking = newUnpacking((name) => join(folder, name), { bytes: 1_000, entries: 10, ratio: null });
    await expect(unpackArchive(piecesOf(bytes), unpacking)).rejects.toThrow('more than 10 entries');
  });

  it('refuses what is no gzip, no tar, or cut off', async () => {
    const { folder } = await target();
    await refused(await snapshotOf(Buffer.from('no gzip')), folder, /header/);
    await refused(await snapshotOf(gzipSync(Buffer.alloc(600, 'x'))), folder, /tar header/);
    const whole = await archive([{ name: 'work/a', text: 'x'.repeat(5_000) }]);
    await refused(await snapshotOf(whole.subarray(0, whole.length - 20)), folder, /unexpected end|end of/i);
  });
});

it('absolute links into the old workdir lead into the restored one', async () => {
  const { folder, outside } = await target();
  const former = '/elsewhere/data/tasks/_a-0123456789ab/work';
  const links: [string, string, string][] = [
    ['file', `${former}/deep/a`, join(folder.work, 'deep/a')],
    ['whole', former, folder.work],
    ['link', `${former}/file`, join(folder.work, 'file')],
    ['absent', `${former}/gone`, `${former}/gone`],
    ['up', `${former}/../../b/work/deep`, `${former}/../../b/work/deep`],
    ['relative', 'deep/a', 'deep/a'],
    ['other', join(outside, 'secret'), join(outside, 'secret')],
  ];
  const members: Member[] = links.map(([name, linkname]) => ({
    name: `work/${name}`,
    type: 'symlink',
    linkname,
  }));
  const bytes = await archive([...members, { name: 'work/deep/a', text: 'of a' }]);
  await restoreSnapshot(use.store, await snapshotOf(bytes), folder);
  for (const [name, , leads] of links) expect(await readlink(join(folder.work, name))).toBe(leads);
  expect(await readFile(join(folder.work, 'link'), 'utf8')).toBe('of a');
});

describe('restoring an archive', () => {
  it('leaves out all but the workdir and the rollout of the thread', async () => {
    const { folder } = await target();
    const members: Member[] = [
      { name: 'work/a', text: 'x' },
      { name: 'workshop/b', text: 'x' },
      { name: 'home/.codex/auth.json', text: '{"OPENAI_API_KEY":"x"}' },
      { name: 'home/.codex/sessions/r.jsonl', text: '{}' },
      { name: 'home/.ssh/authorized_keys', text: 'x' },
      { name: 'process.json', text: '{}' },
    ];
    await restoreSnapshot(use.store, await snapshotOf(await archive(members)), folder);
    await access(join(folder.work, 'a'));
    await access(join(folder.codexHome, 'sessions', 'r.jsonl'));
    for (const gone of [
      folder.authJson,
      folder.processJson,
      join(folder.home, '.ssh'),
      join(folder.root, 'workshop'),
    ])
      await expect(access(gone)).rejects.toThrow('ENOENT');
  });

  it('leaves out links and folders in the place of files of Codex’s home', async () => {
    const { folder, outside } = await target();
    const secret = join(outside, 'secret');
    const odd: Member[] = [
      { name: 'home/.codex/config.toml', type: 'symlink', linkname: secret },
      { name: 'home/.codex/config.toml', type: 'link', linkname: 'work/a' },
      { name: 'home/.codex/config.toml', type: 'directory' },
      { name: 'home/.codex/sessions', type: 'symlink', linkname: outside },
      { name: 'home/.codex/sessions', text: 'x' },
      { name: 'home/.codex/sessions/r.jsonl', type: 'symlink', linkname: secret },
      { name: 'home/.codex/sessions/r.jsonl', type: 'link', linkname: 'work/a' },
    ];
    for (const member of odd) {
      const bytes = await archive([{ name: 'work/a', text: 'x' }, member]);
      await restoreSnapshot(use.store, await snapshotOf(bytes), folder);
      await expect(lstat(join(folder.root, member.name))).rejects.toThrow('ENOENT');
    }
    expect(await readFile(secret, 'utf8')).toBe('secret');
  });

  it('leaves out pipes, and the setuid and setgid bits', async () => {
    const { folder } = await target();
    const members: Member[] = [
      { name: 'work/pipe', type: 'fifo' },
      { name: 'work/suid', mode: 0o6755, text: 'x' },
    ];
    await restoreSnapshot(use.store, await snapshotOf(await archive(members)), folder);
    await expect(lstat(join(folder.work, 'pipe'))).rejects.toThrow('ENOENT');
    expect((await lstat(join(folder.work, 'suid'))).mode & 0o7777).toBe(0o755);
  });
});

describe('a file of the input', () => {
  it.each(['lnk/new/dir/f', 'lnk/f', 'in/lnk/new/f', 'dangling/new/f'])(
    'is not written to %s, where a link leads outside, and makes no folder there',
    async (path) => {
      const { folder, outside } = await target();
      await mkdir(join(folder.work, 'in'));
      for (const link of ['lnk', 'in/lnk']) await symlink(outside, join(folder.work, link));
      await symlink(join(outside, 'none'), join(folder.work, 'dangling'));
      const blobId = await putBlob(use.store, Buffer.from('x'), { filename: 'f' });
      await expect(placeFiles(use.store, folder.work, [{ path, blobId }])).rejects.toMatchObject({
        code: 'BadInput',
        message: expect.stringMatching(/^files\[0\]\.path: .* leads /) as string,
      });
      expect(await readdir(outside)).toEqual(['secret']);
    },
  );

  it('is written through a link that stays within the workdir, and into missing folders', async () => {
    const { folder } = await target();
    await mkdir(join(folder.work, 'real'));
    await symlink('real', join(folder.work, 'lnk'));
    const blobId = await putBlob(use.store, Buffer.from('x'), { filename: 'f' });
    await placeFiles(use.store, folder.work, [{ path: 'lnk/a/b/f', blobId }]);
    expect(await readFile(join(folder.work, 'real', 'a', 'b', 'f'), 'utf8')).toBe('x');
  });
});

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
