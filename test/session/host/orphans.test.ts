import { appendFile, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { adoptTasks } from '../../../src/session/host/adopt-tasks.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { prepareTask } from '../../../src/session/task/prepare-task.js';
import { sweep } from '../../../src/session/host/sweep-tasks.js';
import { takeSnapshot } from '../../../src/snapshots/take-snapshot.js';
import { beginAssignment, findAssignment } from '../../../src/store/assignments.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { type Store } from '../../../src/store/mongo.js';
import { insertSeed, readSeed } from '../../../src/store/seeds.js';
import { listSnapshots } from '../../../src/store/snapshots.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { auth, lease, meanwhile, MINUTE, seedOf } from '../../store/support.js';
import { openTestDatabase, type TestDatabase } from '../../support/mongo.js';
import { hostOf, isGone, lastWriter, leaveFolder, sleeper } from './orphans-support.js';
import { restored } from '../../snapshots/snapshot-support.js';
import { openStore } from '../../../src/store/open-store.js';
import { openJournal } from '../../../src/journal/open-journal.js';

it('removes a folder that no task ever used', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  await mkdir(folderOf('t1').work, { recursive: true });
  await adoptTasks(host);
  expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
});

it('leaves everything to the next worker once this one stops', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  const stray = await sleeper(folderOf('stray').work);
  await leaveFolder(folderOf('t1'), ['{"n":1}']);
  host.tasks.detach();
  await sweep(host);
  expect((await readdir(join(dataDir, 'tasks'))).sort()).toEqual(['stray', 't1']);
  expect(await isGone(stray)).toBe(false);
});

async function keptEvents(dataDir: string, taskId: string): Promise<string[]> {
  const journal = await openJournal(join(dataDir, 'ended', taskId));
  onTestFinished(() => journal.close());
  const frames = await journal.read(0, 1_000_000);
  return frames!.bytes
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: '));
}

it('keeps the events of a folder without a workflow, and adds a last event', async () => {
  const { host, dataDir, folderOf } = await hostOf();
  await leaveFolder(folderOf('open'), ['{"n":1}']);
  await leaveFolder(folderOf('closed'), ['{"n":1}', '{"type":"x-optio-closed","reason":"done"}']);
  await adoptTasks(host);
  expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  const [first, last] = await keptEvents(dataDir, 'open');
  expect(first).toBe('data: {"n":1}');
  expect(last).toMatch(
    /^data: \{"type":"x-optio-closed","reason":"its workflow has ended","outcome":"failed","at":\d+\}$/,
  );
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

it('retries a folder that could not be adopted', async () => {
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

describe('an orphaned task', () => {
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

  it('is snapshotted when its workflow was terminated while no worker ran', async () => {
    const { host, dataDir } = await withWork('away');
    await adoptTasks(host);
    await expectSaved('away');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  /** The same, taken up by this worker while its workflow ends; then terminated, at `terminate` if that is `later`. */
  async function endingHere(taskId: string, when: 'now' | 'later' = 'now') {
    let isRunning = true;
    const each = await withWork(taskId, { isRunning: () => Promise.resolve(isRunning) });
    await appendFile(each.folder.ledger, '{"t":"ending"}\n');
    await adoptTasks(each.host);
    const terminate = () => (isRunning = false);
    if (when === 'now') terminate();
    return { ...each, terminate };
  }

  it('is snapshotted when its workflow was terminated under a worker', async () => {
    const { host, dataDir } = await endingHere('here');
    await sweep(host);
    await expectSaved('here');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('keeps its folder while its workflow runs, while unowned ones are ended', async () => {
    const { host, dataDir, folderOf, terminate } = await endingHere('runs', 'later');
    const stray = await sleeper(folderOf('stray').work);
    await sweep(host);
    expect(await isGone(stray)).toBe(true);
    expect(await readdir(join(dataDir, 'tasks'))).toContain('runs');
    expect(host.tasks.find('runs')?.kind).toBe('ending');
    expect(await listSnapshots(store, 'runs')).toEqual([]);
    terminate();
    await sweep(host);
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is not snapshotted again when its own end took a snapshot', async () => {
    const { host, dataDir } = await endingHere('ended');
    const settings = { key: 'ended', keep: 5, checkpoint: 'end', exclude: null } as const;
    const ref = { taskId: 'ended', runId: 'r', assignmentId: 's' };
    const args = { ref, settings, kind: 'end', endState: 'done', threadId: 'T' } as const;
    const { snapshotId } = await takeSnapshot(host, args, { request: 'r/7' });
    await sweep(host);
    expect(await listSnapshots(store, 'ended')).toMatchObject([{ id: snapshotId }]);
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is snapshotted before a new run of its id uses the folder', async () => {
    const { host } = await withWork('again', { isRunning: () => Promise.resolve(true), env: {} });
    Object.assign(host.config, { minFreeBytes: 0, journalBytes: 1_000_000 });
    const ref = { taskId: 'again', runId: 'r2', assignmentId: 's2' };
    host.tasks.claim(ref);
    const spec = parseTaskInput({ credential: { none: true } }, 'again');
    const { journal, ledger } = await prepareTask(host, { ref, spec, lease: null });
    await journal.close(0);
    await ledger.close();
    await expectSaved('again');
  });

  /** A seed that such a task holds. */
  async function heldSeed(taskId: string) {
    const seedId = await insertSeed(store, { authJson: auth(`first of ${taskId}`), pool: taskId });
    return { seedId, held: await lease(store, { seedId }, `${taskId}/r`) };
  }

  it('keeps the credential that Codex refreshes at its stop until it is saved', async () => {
    const { host, dataDir, folder } = await withWork('refreshes', { accounts: { saved: 0, quarantined: 0 } });
    const { seedId, held } = await heldSeed('refreshes');
    await leaveFolder(folder, ['{"n":2}'], held);
    const refreshed = auth('second');
    await writeFile(join(folder.codexHome, 'next'), refreshed);
    const codex = await lastWriter(folder.codexHome, 'auth.json');
    await writeFile(folder.processJson, JSON.stringify(codex));
    await adoptTasks({ ...host, store: meanwhile(store, 1, () => Promise.reject(new Error('no answer'))) });
    expect(await isGone(codex)).toBe(true);
    expect(await readFile(folder.authJson)).toEqual(refreshed);
    expect((await seedOf(store, seedId)).lease).toMatchObject({ holder: held.holder });
    await adoptTasks(host);
    expect((await readSeed(store, seedId))?.authJson).toEqual(refreshed);
    expect((await seedOf(store, seedId)).lease).toBeNull();
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('leaves the lease to the same run when that starts again', async () => {
    const { host, folder } = await withWork('anew', { env: {}, leaseTtlMs: MINUTE });
    Object.assign(host.config, { minFreeBytes: 0, journalBytes: 1_000_000 });
    const { seedId, held } = await heldSeed('anew');
    await leaveFolder(folder, ['{"n":2}'], held);
    const ref = { taskId: 'anew', runId: 'r', assignmentId: 's' };
    host.tasks.claim(ref);
    const spec = parseTaskInput({ credential: { seedId } }, 'anew');
    const { journal, ledger } = await prepareTask(host, { ref, spec, lease: held });
    await journal.close(0);
    await ledger.close();
    expect((await seedOf(store, seedId)).lease).toMatchObject({ holder: held.holder });
  });

  it('loses its assignment when its host returns and Codex never ran', async () => {
    const ref = { taskId: 'early', runId: 'r', assignmentId: 's' };
    const heard: unknown[] = [];
    const { host, dataDir } = await hostOf({
      store,
      isRunning: () => Promise.resolve(true),
      env: {},
      signalWorkflow: async () => {
        heard.push(await findAssignment(store, 'early'));
        return 'sent';
      },
    });
    Object.assign(host.config, { minFreeBytes: 0, journalBytes: 1_000_000 });
    host.tasks.claim(ref);
    const spec = parseTaskInput({ credential: { none: true } }, 'early');
    const { journal, ledger } = await prepareTask(host, { ref, spec, lease: null });
    await journal.close(0);
    await ledger.close();
    expect(await findAssignment(store, 'early')).toMatchObject(ref);
    await adoptTasks({ ...host, tasks: new HostTasks(4) });
    expect(heard).toEqual([null]);
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('loses its assignment when its worker was killed before it had anything', async () => {
    const { host } = await hostOf({ store });
    await beginAssignment(store, {
      taskId: 'earlier',
      runId: 'r',
      assignmentId: 's',
      hostId: 'here',
      ordinal: 0,
    });
    await adoptTasks(host);
    expect(await findAssignment(store, 'earlier')).toBeNull();
  });

  it('is set aside when no snapshot can be taken, but stays during an outage', async () => {
    const { host, dataDir, folder } = await withWork('unreadable');
    // Larger than a snapshot may be.
    await writeFile(join(folder.work, 'hole'), '');
    await truncate(join(folder.work, 'hole'), 8 * 2 ** 40);
    const away = await openStore({ uri: database.uri, prefix: 'optio' });
    await away.close();
    await adoptTasks({ ...host, store: away });
    expect(await readFile(join(folder.work, 'made'), 'utf8')).toBe('by the agent');
    await adoptTasks(host);
    const [kept] = await readdir(join(dataDir, 'unsaved'));
    expect(await readFile(join(dataDir, 'unsaved', kept!, 'work', 'made'), 'utf8')).toBe('by the agent');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });

  it('is set aside when it goes to a host without a checkpoint of it', async () => {
    const { host, dataDir } = await withWork('lost', { isRunning: () => Promise.resolve(true), hostId: 'h' });
    await adoptTasks(host, [{ ref: { taskId: 'lost', runId: 'r', assignmentId: 's' }, isOutdated: true }]);
    const [kept] = await readdir(join(dataDir, 'unsaved'));
    expect(await readFile(join(dataDir, 'unsaved', kept!, 'work', 'made'), 'utf8')).toBe('by the agent');
    expect(await readdir(join(dataDir, 'tasks'))).toEqual([]);
  });
});
