import { spawn, type ChildProcess } from 'node:child_process';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startTimeOf } from '../../src/host/process-identity.js';
import { adoptTasks } from '../../src/session/adopt-tasks.js';
import { endStrays } from '../../src/session/end-strays.js';
import type { HostContext } from '../../src/session/host-context.js';
import { HostTasks } from '../../src/session/host-tasks.js';
import { openJournal } from '../../src/session/records/journal.js';
import { prepareTask } from '../../src/session/prepare-task.js';
import { sweep } from '../../src/session/sweep-tasks.js';
import { takeSnapshot } from '../../src/session/snapshots/take-snapshot.js';
import { taskFolder } from '../../src/session/records/task-folder.js';
import { openStore, type Store } from '../../src/store/mongo.js';
import { listSnapshots } from '../../src/store/snapshots.js';
import { parseTaskInput } from '../../src/task-input.js';
import { testFolder } from '../support/folders.js';
import { openTestDatabase, type TestDatabase } from '../support/mongo.js';
import { until } from '../support/until.js';
import { restored } from './snapshots/snapshot-support.js';

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
  const spec = { snapshot: { key: folder.taskId, keep: 5, checkpoint: 'end', exclude: null } };
  await writeFile(folder.taskJson, JSON.stringify({ ref, spec, lease: null }));
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
    JSON.stringify({ method: 'item/commandExecution/requestApproval', id: '1-0', params: {} }),
  ]);
  await adoptTasks(host);
  const events = await keptEvents(dataDir, 't1');
  expect(events.slice(4).map((line) => JSON.parse(line.slice(6)) as unknown)).toMatchObject([
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

describe('the work of a task that nobody here goes on with', () => {
  let database: TestDatabase;
  let store: Store;

  beforeAll(async () => {
    database = await openTestDatabase();
    store = await openStore({ uri: database.uri, prefix: 'optio' });
  });
  afterAll(async () => {
    await store.close();
    await database.close();
  });

  /** A host with a task that did something, found by the next worker. */
  async function withWork(taskId: string, more: Partial<HostContext> = {}) {
    const each = await hostOf({ store, signalWorkflow: () => Promise.resolve('sent'), ...more });
    const folder = each.folderOf(taskId);
    await mkdir(folder.work, { recursive: true });
    await mkdir(folder.codexHome, { recursive: true });
    await writeFile(join(folder.work, 'made'), 'by the agent');
    await leaveFolder(folder, ['{"n":1}']);
    return { ...each, folder };
  }

  async function expectSaved(taskId: string): Promise<void> {
    const snapshots = await listSnapshots(store, taskId);
    expect(snapshots).toMatchObject([{ endState: 'failed', sessionId: 'T' }]);
    const to = await restored(store, snapshots[0]!);
    expect(await readFile(join(to.work, 'made'), 'utf8')).toBe('by the agent');
  }

  it('is in a snapshot when its workflow was terminated while no worker was here', async () => {
    const { host, dataDir } = await withWork('away');
    await adoptTasks(host);
    await expectSaved('away');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  /** The same, taken up by this worker while its workflow ends; then terminated. */
  async function endingHere(taskId: string) {
    let isRunning = true;
    const each = await withWork(taskId, { isRunning: () => Promise.resolve(isRunning) });
    await appendFile(each.folder.ledger, '{"t":"ending"}\n');
    await adoptTasks(each.host);
    isRunning = false;
    return each;
  }

  it('is in a snapshot when its workflow was terminated under a worker', async () => {
    const { host, dataDir } = await endingHere('here');
    await sweep(host);
    await expectSaved('here');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is in no second snapshot when its own end has taken one', async () => {
    const { host, dataDir } = await endingHere('ended');
    const settings = { key: 'ended', keep: 5, checkpoint: 'end', exclude: null } as const;
    const ref = { taskId: 'ended', runId: 'r' };
    const args = { ref, settings, kind: 'end', endState: 'done', threadId: 'T' } as const;
    const { snapshotId } = await takeSnapshot(host, args, { request: 'r/7' });
    await sweep(host);
    expect(await listSnapshots(store, 'ended')).toMatchObject([{ id: snapshotId }]);
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is in a snapshot before a new run of its id takes the folder', async () => {
    const { host } = await withWork('again', { isRunning: () => Promise.resolve(true), env: {} });
    Object.assign(host.config, { minFreeBytes: 0, journalBytes: 1_000_000 });
    const ref = { taskId: 'again', runId: 'r2' };
    host.tasks.claim(ref);
    const spec = parseTaskInput({ credential: { none: true } }, 'again');
    const { journal, ledger } = await prepareTask(host, { ref, spec, lease: null });
    await journal.close(0);
    await ledger.close();
    await expectSaved('again');
  });

  it('is set aside where no snapshot can be taken, and stays in place while the database is away', async () => {
    const { host, dataDir, folder } = await withWork('unreadable');
    await writeFile(join(folder.codexHome, 'sessions'), 'no folder');
    const away = await openStore({ uri: database.uri, prefix: 'optio' });
    await away.close();
    await adoptTasks({ ...host, store: away });
    expect(await readFile(join(folder.work, 'made'), 'utf8')).toBe('by the agent');
    await adoptTasks(host);
    const [kept] = await readdir(join(dataDir, 'unsaved'));
    expect(await readFile(join(dataDir, 'unsaved', kept!, 'work', 'made'), 'utf8')).toBe('by the agent');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is set aside when it goes to another host that has no checkpoint of it', async () => {
    const { host, dataDir } = await withWork('lost', { isRunning: () => Promise.resolve(true), hostId: 'h' });
    await adoptTasks(host, { taskIds: ['lost'], maySave: false });
    const [kept] = await readdir(join(dataDir, 'unsaved'));
    expect(await readFile(join(dataDir, 'unsaved', kept!, 'work', 'made'), 'utf8')).toBe('by the agent');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });
});
