import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { requireFreeSpace } from '../../../src/host/free-space.js';
import { removeFolder } from '../../../src/session/records/remove-folder.js';
import { testFolder } from '../../support/folders.js';

const NOBODY = 65_534;
const isRoot = process.geteuid?.() === 0;

afterEach(() => {
  if (isRoot) process.seteuid?.(0);
});

test('a folder that its owner made read-only, and all in it, is removed', async () => {
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

test('a disk without room for a task makes the host unfit, and says what to do', async () => {
  const folder = await testFolder();
  await expect(requireFreeSpace(folder, 1)).resolves.toBeUndefined();
  await expect(requireFreeSpace(folder, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
    code: 'HostUnfit',
    message: expect.stringContaining('CODEX_TASK_MIN_FREE_BYTES') as unknown,
  });
});
