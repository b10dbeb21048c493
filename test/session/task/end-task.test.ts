import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { closeTask } from '../../../src/session/task/end-task.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { openLedger } from '../../../src/task-folder/ledger.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { preparedTask } from '../../fakes/prepared-task.js';
import { testFolder } from '../../support/folders.js';
import { until } from '../../support/until.js';
import { openJournal } from '../../../src/journal/open-journal.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };

/** A task at its end on a disk that can be full. */
async function endingOnFullDisk() {
  const dataDir = await testFolder();
  const folder = taskFolder(dataDir, 't1');
  await mkdir(folder.journal, { recursive: true });
  const disk = { isFull: false, refused: 0 };
  const full = await open('/dev/full', 'w');
  onTestFinished(() => full.close());
  const openFile = async (path: string, flags: string) => {
    const file = await open(path, flags);
    const { fd } = file;
    const writesTo = () => {
      if (disk.isFull) disk.refused++;
      return disk.isFull ? full.fd : fd;
    };
    // Small batches are written by the number of the file.
    return Object.defineProperty(file, 'fd', { get: writesTo });
  };
  const journal = await openJournal(folder.journal, { openFile });
  const ledger = await openLedger(folder.ledger);
  await ledger.write({ t: 'thread', threadId: 'T', model: null });
  journal.append(JSON.stringify({ type: 'x-optio-recovering', reason: 'killed' }));
  await journal.flushed();
  const tasks = new HostTasks(1);
  const log = pino({ enabled: false });
  const host = { config: { dataDir }, tasks, log, store: {} } as unknown as HostContext;
  tasks.set({
    kind: 'ending',
    ref: REF,
    stopping: new AbortController(),
    prepared: preparedTask({ spec: parseTaskInput({}, 't1'), folder, journal, ledger }),
    mounted: true,
  });
  const close = () => closeTask(host, { ref: REF, reason: 'HostUnfit', outcome: 'failed', keepWork: false });
  const kept = async () => {
    const ended = await openJournal(join(dataDir, 'ended', 't1'));
    const text = (await ended.read(0, 1e6))!.bytes.toString();
    await ended.close();
    return [...text.matchAll(/id: (\d+)\ndata: (.*)/g)].map(([, id, json]) => ({
      id: Number(id),
      ...(JSON.parse(json!) as object),
    }));
  };
  return { disk, folder, tasks, close, kept };
}

const said = { id: 1, type: 'x-optio-recovering' };

test('the last event waits for room on a full disk and is written once', async () => {
  const { disk, folder, close, kept } = await endingOnFullDisk();
  disk.isFull = true;
  const closed = close();
  await until('a refused write', () => disk.refused > 0);
  expect(existsSync(folder.root)).toBe(true);
  disk.isFull = false;
  await closed;
  expect(await kept()).toMatchObject([said, { id: 2, type: 'x-optio-closed', outcome: 'failed' }]);
  expect(existsSync(folder.root)).toBe(false);
});

test('a disk that stays full does not keep a task from ending', async () => {
  const { disk, folder, tasks, close, kept } = await endingOnFullDisk();
  disk.isFull = true;
  await close();
  expect(await kept()).toMatchObject([said]);
  expect([existsSync(folder.root), tasks.size]).toEqual([false, 0]);
});

// Only root may mount.
test.runIf(process.geteuid?.() === 0)(
  'a folder that cannot be removed is set aside, and the task ends',
  async () => {
    const { folder, tasks, close } = await endingOnFullDisk();
    const busy = join(folder.work, 'busy');
    await mkdir(busy, { recursive: true });
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', busy]).status).toBe(0);
    const unsaved = join(folder.root, '../../unsaved');
    const putAway = async () => join(unsaved, (await readdir(unsaved))[0] ?? '', 'work/busy');
    onTestFinished(async () => void spawnSync('umount', [existsSync(busy) ? busy : await putAway()]));
    await close();
    expect([existsSync(folder.root), tasks.size]).toEqual([false, 0]);
    expect(await readdir(unsaved)).toEqual([expect.stringMatching(/^t1-\d+-unremoved$/)]);
  },
);
