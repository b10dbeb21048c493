import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { taskFiles } from '../../src/client/task-files.js';
import { serveLiveTask, type ServedTask } from '../listener/serve-task.js';

const filesOf = ({ url, password }: ServedTask) =>
  taskFiles(async () => ({ taskId: 't1', url, username: 'optio', password }));

test('a file that is put is there unchanged, and what a later one has takes its place', async () => {
  const files = filesOf(await serveLiveTask());
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256);
  expect(await files.put('a dir/ä b.bin', bytes)).toEqual({ path: 'uploads/ä b.bin' });
  expect(Buffer.from(await files.get('uploads/ä b.bin')).equals(bytes)).toBe(true);
  await files.put('ä b.bin', 'now text ✓');
  expect(Buffer.from(await files.get('uploads/ä b.bin')).toString()).toBe('now text ✓');
});

test('what cannot be stored or read says why', async () => {
  const task = await serveLiveTask({ limits: { uploadBytes: 10, downloadBytes: 10 } });
  const files = filesOf(task);
  await writeFile(join(task.folder.work, 'large'), 'x'.repeat(11));
  await symlink('/etc/hostname', join(task.folder.work, 'outside'));
  await expect(files.put('large', 'x'.repeat(11))).rejects.toMatchObject({ code: 'BadInput' });
  await expect(files.get('large')).rejects.toMatchObject({ code: 'BadInput' });
  await expect(files.get('outside')).rejects.toMatchObject({ code: 'BadInput' });
  await expect(files.get('none')).rejects.toMatchObject({
    code: 'NotFound',
    message: 'Task t1 has no file at none',
  });
  await expect(filesOf({ ...task, password: 'wrong' }).get('large')).rejects.toThrow('refused the password');
  await expect(filesOf({ ...task, url: 'http://127.0.0.1:1' }).get('large')).rejects.toMatchObject({
    code: 'Unavailable',
  });
});
