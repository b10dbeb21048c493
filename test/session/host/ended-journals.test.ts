import { existsSync } from 'node:fs';
import { mkdir, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { keepEnded } from '../../../src/session/host/ended-journals.js';
import { keepFromNow } from '../../../src/session/task/keep-from-now.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';
import type { EndedTasks } from '../../../src/session/model/ended-journals.js';

async function ended(dataDir: string, keepMs = 3_600_000): Promise<EndedTasks> {
  const tasks = keepEnded(dataDir, keepMs, (error) => expect.unreachable(String(error)));
  onTestFinished(() => tasks.close());
  return tasks;
}

async function keep(dataDir: string, taskId: string, events: number): Promise<string> {
  const folder = join(dataDir, 'ended', taskId);
  await mkdir(join(dataDir, 'ended'), { recursive: true });
  const journal = await openJournal(join(dataDir, 'new'));
  for (let n = 1; n <= events; n++) journal.append(`{"n":${n}}`);
  await journal.close();
  await rm(folder, { recursive: true, force: true });
  await rename(join(dataDir, 'new'), folder);
  return folder;
}

test('readers of one ended task share its journal, which closes after the last one', async () => {
  const dataDir = await testFolder();
  await keep(dataDir, 't1', 3);
  const tasks = await ended(dataDir);
  expect([tasks.has('t1'), tasks.has('t2'), tasks.has('../t1')]).toEqual([true, false, false]);
  const [a, b] = await Promise.all([tasks.open('t1'), tasks.open('t1')]);
  expect(a!.journal).toBe(b!.journal);
  expect([a!.journal.lastId, a!.journal.ended]).toEqual([3, true]);
  a!.release();
  expect((await b!.journal.read(0, 1_000))!.lastId).toBe(3);
  b!.release();
  const c = await tasks.open('t1');
  expect(c!.journal).not.toBe(a!.journal);
  c!.release();
});

test('a later task of the same id has another journal', async () => {
  const dataDir = await testFolder();
  await keep(dataDir, 't1', 3);
  const tasks = await ended(dataDir);
  const before = await tasks.open('t1');
  await keep(dataDir, 't1', 5);
  const after = await tasks.open('t1');
  expect([before!.journal.lastId, after!.journal.lastId]).toEqual([3, 5]);
  before!.release();
  after!.release();
});

test('a missing journal opens nothing', async () => {
  const tasks = await ended(await testFolder());
  expect(await tasks.open('t1')).toBeNull();
  expect(await tasks.open('../../etc')).toBeNull();
});

test('a journal is removed once its task ended long enough ago', async () => {
  const dataDir = await testFolder();
  const folder = await keep(dataDir, 't1', 1);
  await ended(dataDir, 50);
  await until('it went', () => !existsSync(folder));
});

test('a journal that was idle for long is kept from the end of its task on', async () => {
  const dataDir = await testFolder();
  const journal = join(dataDir, 'journal');
  await mkdir(journal);
  await mkdir(join(dataDir, 'ended'));
  const hoursAgo = new Date(Date.now() - 7_200_000);
  await utimes(journal, hoursAgo, hoursAgo);
  const old = join(dataDir, 'ended', 'old');
  await mkdir(old);
  await utimes(old, hoursAgo, hoursAgo);
  await keepFromNow(journal, join(dataDir, 'ended', 't1'));
  const tasks = await ended(dataDir);
  await until('what ended long ago went', () => !existsSync(old));
  expect(tasks.has('t1')).toBe(true);
});
