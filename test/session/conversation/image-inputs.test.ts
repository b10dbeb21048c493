import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { checkImages, keepImages } from '../../../src/session/conversation/image-inputs.js';
import { testFolder } from '../../support/folders.js';

let root: string;
let work: string;
beforeEach(async () => {
  root = await testFolder();
  work = join(root, 'work');
  await mkdir(work);
});

test('an image is read once, and Codex opens that copy whatever replaces the file', async () => {
  await mkdir(join(work, 'sub'));
  await writeFile(join(work, 'sub', 'dot.png'), 'the image');
  const images = [{ path: 'sub/dot.png' }];
  await checkImages(images, work);
  const [path = ''] = await keepImages(images, work);
  await rm(join(work, 'sub', 'dot.png'));
  await symlink('/etc/passwd', join(work, 'sub', 'dot.png'));
  expect(await readFile(path, 'utf8')).toBe('the image');
  expect(path.startsWith(join(root, 'user', 'images'))).toBe(true);
  expect(path).toMatch(/\.png$/);
});

test('images of one content and name are stored once, in the order of the message', async () => {
  await writeFile(join(work, 'a.png'), 'a');
  await writeFile(join(work, 'b.png'), 'b');
  const [a, b, again] = await keepImages([{ path: 'a.png' }, { path: 'b.png' }, { path: 'a.png' }], work);
  expect(again).toBe(a);
  expect(await Promise.all([a, b].map((path) => readFile(path!, 'utf8')))).toEqual(['a', 'b']);
});

test.each([
  ['link', 'which leads out of it'],
  ['../secret', 'which leads out of it'],
  ['/etc/passwd', 'which is no relative path'],
  ['none', 'which is not there'],
  ['folder', 'which is no file'],
  ['large', 'which is over 33554432 bytes'],
])('%s is bad input, from the start or after a change', async (path, why) => {
  await writeFile(join(root, 'secret'), 'SECRET');
  await symlink('../secret', join(work, 'link'));
  await mkdir(join(work, 'folder'));
  await writeFile(join(work, 'large'), '');
  await truncate(join(work, 'large'), 32 * 1024 * 1024 + 1);
  for (const look of [checkImages, keepImages])
    await expect(look([{ path }], work)).rejects.toMatchObject({
      code: 'BadInput',
      message: expect.stringContaining(
        `images[0].path: expected a file below work, got "${path}", ${why}`,
      ) as string,
    });
});
