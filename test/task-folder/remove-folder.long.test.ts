import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { requireFreeSpace } from '../../src/process/free-space.js';
import { removeFolder } from '../../src/task-folder/remove-folder.js';
import { testFolder } from '../support/folders.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

afterEach(() => {
  if (isRoot) process.seteuid?.(0);
});

test('a folder that its owner made read-only is removed with its content', async () => {
  // Where another user may go.
  const root = await mkdtemp(join(tmpdir(), 'remove-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  const folder = join(root, 'task');
  const below = join(folder, 'module', 'cache');
  await mkdir(below, { recursive: true });
  await writeFile(join(below, 'file'), 'x');
  if (isRoot)
    for (const path of [root, folder, join(folder, 'module'), below]) await chown(path, NOBODY, NOBODY);
  await chmod(below, 0o500);
  await chmod(join(folder, 'module'), 0o000);
  // Nothing is read-only to root.
  if (isRoot) process.seteuid?.(NOBODY);
  await removeFolder(folder);
  await expect(stat(folder)).rejects.toThrow('ENOENT');
});

test('a folder deeper than the longest path is removed', async () => {
  const folder = join(await testFolder(), 'task');
  await mkdir(folder);
  const program = `import os, sys
os.chdir(sys.argv[1])
for i in range(400):
    os.mkdir('d' * 200); os.chdir('d' * 200); open('leaf', 'w').write('x')`;
  spawnSync('python3', ['-c', program, folder]);
  await removeFolder(folder);
  expect(existsSync(folder)).toBe(false);
});

test('the target of a link is not removed, and a name that is no UTF-8 is', async () => {
  const root = await testFolder();
  const folder = join(root, 'task');
  await mkdir(join(root, 'other'));
  await mkdir(folder);
  await writeFile(join(root, 'other', 'kept'), 'x');
  await symlink('../other', join(folder, 'link'));
  await symlink(join(root, 'other', 'kept'), join(folder, 'absolute'));
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])]), 'x');
  await removeFolder(folder);
  expect(await readdir(root)).toEqual(['other']);
  expect(await readdir(join(root, 'other'))).toEqual(['kept']);
});

test('a missing folder, or one with a missing parent, needs no removal', async () => {
  const root = await testFolder();
  await removeFolder(join(root, 'none'));
  await removeFolder(join(root, 'none', 'below'));
  expect(await readdir(root)).toEqual([]);
});

test('a folder of many files is removed without blocking the event loop', async () => {
  const folder = join(await testFolder(), 'task');
  await mkdir(folder);
  for (let i = 0; i < 20_000; i++) writeFileSync(join(folder, `${i}`), '');
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await removeFolder(folder);
  clearInterval(timer);
  expect(existsSync(folder)).toBe(false);
  expect(turns).toBeGreaterThan(5);
});

test('a disk without room for a task makes the host unfit, with what to do', async () => {
  const folder = await testFolder();
  await expect(requireFreeSpace(folder, 1)).resolves.toBeUndefined();
  await expect(requireFreeSpace(folder, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringContaining('CODEX_TASK_MIN_FREE_BYTES') as unknown,
  });
});
