import { spawn, type ChildProcess } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { startTimeOf } from '../../src/host/process-identity.js';
import { adoptTasks } from '../../src/session/adopt-tasks.js';
import { endStrays } from '../../src/session/end-strays.js';
import type { HostContext } from '../../src/session/host-context.js';
import { HostTasks } from '../../src/session/host-tasks.js';
import { openJournal } from '../../src/session/journal.js';
import { sweep } from '../../src/session/sweep-tasks.js';
import { taskFolder } from '../../src/session/task-folder.js';
import { testFolder } from '../support/folders.js';
import { until } from '../support/until.js';

async function hostOf(more: Partial<HostContext> = {}) {
  const dataDir = await testFolder();
  const host = {
    config: { dataDir },
    tasks: new HostTasks(4),
    log: pino({ enabled: false }),
    guard: () => undefined,
    isRunning: () => Promise.resolve(false),
    ...more,
  } as unknown as HostContext;
  return { host, dataDir, folderOf: (taskId: string) => taskFolder(dataDir, taskId) };
}

/** A process with that home, ended with the test. */
async function sleeper(home: string): Promise<{ pid: number; startTime: number; child: ChildProcess }> {
  await mkdir(home, { recursive: true });
  const env = { PATH: process.env['PATH'], HOME: home };
  const child = spawn('sleep', ['600'], { env, detached: true, stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const pid = child.pid!;
  // Before its exec it still has the environment of this process.
  await until('its environment', async () =>
    (await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')).includes(home),
  );
  return { pid, startTime: (await startTimeOf(pid))!, child };
}

const isGone = async ({ pid }: { pid: number }) => (await startTimeOf(pid)) === undefined;

it('ends processes in a folder without a codex, and no other process', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  const stray = await sleeper(folderOf('t1').work);
  const elsewhere = await sleeper(join(dataDir, 'tasks-of-others', 't1', 'work'));
  const owner = await sleeper(join(folderOf('t2').home));
  const owned = await sleeper(folderOf('t2').work);
  await writeFile(folderOf('t2').processJson, JSON.stringify(owner));
  const known = await sleeper(folderOf('t3').work);
  host.tasks.claim({ taskId: 't3', runId: 'r' });
  await endStrays(host);
  expect(await isGone(stray)).toBe(true);
  for (const each of [elsewhere, owner, owned, known]) expect(await isGone(each)).toBe(false);
  host.tasks.remove('t3');
});

it('takes a pid that another process has now for no codex', async () => {
  const { host, folderOf } = await hostOf();
  const stray = await sleeper(folderOf('t1').work);
  const { pid, startTime } = stray;
  await writeFile(folderOf('t1').processJson, JSON.stringify({ pid, startTime: startTime - 1 }));
  await endStrays(host);
  expect(await isGone(stray)).toBe(true);
});

/** A folder as a task with a thread leaves it behind. */
async function leaveFolder(folder: ReturnType<typeof taskFolder>, events: string[]): Promise<void> {
  const journal = await openJournal(folder.journal);
  for (const event of events) journal.append(event);
  await journal.close();
  await writeFile(folder.ledger, '{"t":"thread","threadId":"T","model":null}\n');
  const ref = { taskId: folder.taskId, runId: 'r' };
  await writeFile(folder.taskJson, JSON.stringify({ ref, spec: {}, lease: null }));
}

async function keptEvents(dataDir: string, taskId: string): Promise<string[]> {
  const journal = await openJournal(join(dataDir, 'ended', taskId));
  onTestFinished(() => journal.close());
  const frames = await journal.read(0, 1_000_000);
  return frames!.bytes
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: '));
}

it('keeps the events of a folder without a workflow for their readers, with one last event', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  await leaveFolder(folderOf('open'), ['{"n":1}']);
  await leaveFolder(folderOf('closed'), ['{"n":1}', '{"type":"x-optio-closed","reason":"done"}']);
  await adoptTasks(host);
  expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  expect(await keptEvents(dataDir, 'open')).toEqual([
    'data: {"n":1}',
    'data: {"type":"x-optio-closed","reason":"its workflow has ended","outcome":"failed"}',
  ]);
  expect(await keptEvents(dataDir, 'closed')).toHaveLength(2);
});

it('ends the open turn, its items and its requests before the last event', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  const of = (method: string, params: object) =>
    JSON.stringify({ method, params: { threadId: 'T', turnId: 'u', ...params } });
  await leaveFolder(folderOf('t1'), [
    of('turn/started', { turn: { id: 'u', status: 'inProgress', items: [] } }),
    of('item/started', { item: { id: 'm', type: 'agentMessage', text: '' } }),
    of('item/agentMessage/delta', { itemId: 'm', delta: 'half' }),
  ]);
  const request = { t: 'request', requestId: '1-0', codexId: 0, kind: 'command', openedAt: '' };
  await appendFile(folderOf('t1').ledger, `${JSON.stringify(request)}\n`);
  await adoptTasks(host);
  const events = await keptEvents(dataDir, 't1');
  expect(events.slice(3).map((line) => JSON.parse(line.slice(6)) as unknown)).toMatchObject([
    { method: 'item/completed', params: { item: { id: 'm', text: 'half' } }, 'x-optio-cut': true },
    { type: 'x-optio-permission-answered', request_id: '1-0', behavior: 'deny' },
    { method: 'turn/completed', params: { turn: { id: 'u', status: 'interrupted' } }, 'x-optio-cut': true },
    { type: 'x-optio-closed' },
  ]);
});

it('looks again at a folder that could not be taken up', async () => {
  let isReachable = false;
  const isRunning = () => (isReachable ? Promise.resolve(false) : Promise.reject(new Error('no answer')));
  const { host, dataDir, folderOf } = await hostOf({ isRunning });
  await leaveFolder(folderOf('t1'), ['{"n":1}']);
  await adoptTasks(host);
  expect(await readdir(join(dataDir, 'tasks'))).toEqual(['t1']);
  isReachable = true;
  await sweep(host);
  expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
});
