import { appendFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { openRecords } from '../../../src/session/task/open-records.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { reserveEventIds } from '../../../src/store/task-state.js';
import { testFolder } from '../../support/folders.js';
import { useStore } from '../../store/support.js';

const use = useStore();
const ref = { taskId: 't1', runId: 'r1', assignmentId: 's' };

async function task() {
  const dataDir = await testFolder();
  const { store } = use;
  const log = pino({ enabled: false });
  const host = { config: { dataDir, journalBytes: null }, store, log } as unknown as HostContext;
  const folder = taskFolder(dataDir, 't1');
  const open = async () => {
    const { journal, ledger, warnings } = await openRecords(host, { ref, moved: null }, folder);
    const close = () => Promise.all([journal.close(), ledger.close()]);
    onTestFinished(async () => void (await close().catch(() => undefined)));
    return { journal, ledger, warnings, close };
  };
  return { folder, open };
}

test('a worker that reopens the records continues with the next id', async () => {
  const { open } = await task();
  const first = await open();
  first.journal.append('{}');
  await first.close();
  const second = await open();
  expect([second.journal.append('{}'), second.warnings]).toEqual([2, []]);
});

test('no id is reused after a reboot that may have been shown before', async () => {
  const { open, folder } = await task();
  const first = await open();
  first.journal.append('{}');
  await first.journal.flushed();
  await reserveEventIds(use.store, ref, 0, 29_999);
  await first.ledger.write({ t: 'boot', id: 'an earlier one' });
  await first.close();
  const second = await open();
  expect(second.journal.append('{}')).toBe(30_001);
  await second.close();
  expect((await open()).journal.lastId).toBe(30_001);
  expect(folder.taskId).toBe('t1');
});

test('unreadable records are reported', async () => {
  const { open, folder } = await task();
  await (await open()).close();
  await appendFile(folder.ledger, '\0\0\n');
  expect((await open()).warnings).toEqual([expect.stringContaining('1 of the task’s records')]);
});

test('an upload broken off with its worker is removed when the task is adopted', async () => {
  const { open, folder } = await task();
  const uploads = join(folder.work, 'uploads');
  await mkdir(uploads, { recursive: true });
  for (const name of [`.${'0f'.repeat(9)}.part`, 'whole']) await writeFile(join(uploads, name), 'x');
  await open();
  expect(await readdir(uploads)).toEqual(['whole']);
});
