import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { changeAlarm } from '../../src/process/watch-file.js';
import { testFolder } from '../support/folders.js';

const never = new AbortController().signal;

test('a folder that cannot be watched is reported once, and is polled instead', async () => {
  const folder = await testFolder();
  const said: string[] = [];
  const alarm = changeAlarm('auth.json', ({ message }) => said.push(message));
  alarm.watch(join(folder, 'absent'));
  alarm.watch(join(folder, 'absent'));
  expect(said).toEqual([expect.stringContaining('ENOENT')]);
  // Told at once that something may have changed meanwhile.
  await alarm.rings(60_000, never);
  await alarm.rings(10, never);

  alarm.watch(folder);
  const rung = alarm.rings(60_000, never);
  await writeFile(join(folder, 'auth.json'), '{}');
  await rung;
  alarm.close();
});

test('one file alone watches files, since a watch fails where inotify is exhausted', async () => {
  const src = new URL('../../src', import.meta.url).pathname;
  const files = (await readdir(src, { recursive: true })).filter((file) => file.endsWith('.ts'));
  const watching: string[] = [];
  for (const file of files) {
    const text = await readFile(join(src, file), 'utf8');
    if (/import \{[^}]*\bwatch\b[^}]*\} from 'node:fs/.test(text)) watching.push(file);
  }
  expect(watching).toEqual(['process/watch-file.ts']);
});
