import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { endStrays } from '../../../src/session/host/end-strays.js';
import { hostOf, isGone, lastWriter, sleeper } from './orphans-support.js';

it('ends processes in a folder without a Codex, and no other process', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  const stray = await sleeper(folderOf('t1').work);
  const elsewhere = await sleeper(join(dataDir, 'tasks-of-others', 't1', 'work'));
  const owner = await sleeper(join(folderOf('t2').home));
  const owned = await sleeper(folderOf('t2').work);
  await writeFile(folderOf('t2').processJson, JSON.stringify(owner));
  const known = await sleeper(folderOf('t3').work);
  host.tasks.claim({ taskId: 't3', runId: 'r', assignmentId: 's' });
  await endStrays(host);
  expect(await isGone(stray)).toBe(true);
  for (const each of [elsewhere, owner, owned, known]) expect(await isGone(each)).toBe(false);
  host.tasks.remove('t3');
});

it('does not take another process with the pid of a Codex for that Codex', async () => {
  const { host, folderOf } = await hostOf();
  const stray = await sleeper(folderOf('t1').work);
  const { pid, startTime } = stray;
  await writeFile(folderOf('t1').processJson, JSON.stringify({ pid, startTime: startTime - 1 }));
  await endStrays(host);
  expect(await isGone(stray)).toBe(true);
});

it('ends an unowned app-server gracefully, so that its last writes are kept', async () => {
  const { host, folderOf } = await hostOf();
  const { codexHome } = folderOf('t1');
  await mkdir(codexHome, { recursive: true });
  await writeFile(join(codexHome, 'next'), 'refreshed');
  const stray = await lastWriter(codexHome, 'auth.json');
  await endStrays(host);
  expect(await isGone(stray)).toBe(true);
  expect(await readFile(join(codexHome, 'auth.json'), 'utf8')).toBe('refreshed');
});
