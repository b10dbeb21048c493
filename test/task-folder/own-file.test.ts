import { mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readOwnFile, replaceFile, writeOwnFile } from '../../src/task-folder/own-file.js';
import { testFolder } from '../support/folders.js';

it('replaces a record whole, or keeps the one before', async () => {
  const folder = await testFolder();
  const path = join(folder, 'task.json');
  await replaceFile(path, 'one');
  await replaceFile(path, 'two');
  expect(await readFile(path, 'utf8')).toBe('two');
  expect(await readdir(folder)).toEqual(['task.json']);
  await mkdir(`${path}.new`);
  await expect(replaceFile(path, 'three')).rejects.toMatchObject({ code: 'EISDIR' });
  expect(await readFile(path, 'utf8')).toBe('two');
});

it('neither writes nor reads its files through a link', async () => {
  const folder = await testFolder();
  const [path, other] = [join(folder, 'config.toml'), join(folder, 'other')];
  await writeFile(other, 'theirs');
  await symlink(other, path);
  await expect(writeOwnFile(path, 'ours')).rejects.toMatchObject({ code: 'ELOOP' });
  expect(await readOwnFile(path)).toBeNull();
  expect(await readFile(other, 'utf8')).toBe('theirs');
});
