import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { evictTasks, evictTask } from '../../../src/session/host/evict-tasks.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { restoreTask } from '../../../src/session/task/restore-task.js';
import { findHost, registerHost, requestEviction } from '../../../src/store/hosts.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { findCheckpoint } from '../../../src/store/task-state.js';
import { seedOf } from '../../store/support.js';
import { testFolder } from '../../support/folders.js';
import { startMongoProxy, type MongoProxy } from '../../support/mongo-proxy.js';
import { accountHost } from '../account/account-session.js';
import { startHeldTurn, type HeldTurn } from '../held-turn.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };

/** A task in a turn, with a refreshed credential and work that is nowhere else, on a host that is to let it go. */
async function toLetGo(options: Parameters<typeof startHeldTurn>[0] = {}) {
  const each = await startHeldTurn(options);
  await writeFile(join(each.task.folder.work, 'made'), 'by the agent');
  await each.rotate();
  const rotated = await each.onDisk();
  await registerHost(each.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 60_000 });
  await requestEviction(each.store, 'h1', REF);
  return { each, rotated };
}

const evictionsOf = async ({ store }: HeldTurn) => (await findHost(store, 'h1'))?.evict;

/** What the next host finds: the files, and the turn that is to be done again. */
async function expectWhole({ host, store, task, turnId }: HeldTurn): Promise<void> {
  expect(await findCheckpoint(store, 't1', 'r1')).toMatchObject({ checkpoint: { isWhole: true } });
  const next = taskFolder(await testFolder(), 't1');
  for (const path of [next.work, next.codexHome, next.journal]) await mkdir(path, { recursive: true });
  await restoreTask(host, REF, task.spec, next);
  expect(await readFile(join(next.work, 'made'), 'utf8')).toBe('by the agent');
  return expect(readFile(next.ledger, 'utf8')).resolves.toContain(turnId);
}

test('an evicted task stops in its turn, and its token and its files are saved', async () => {
  const { each } = await toLetGo();
  await evictTask(each.host, { ref: REF, isOutdated: false });
  expect(await each.lives()).toBe(false);
  // Its newest one: a stop in a turn makes sure of that by one more refresh.
  expect(each.oauth.isGood(await each.inSeed())).toBe(true);
  const seed = await seedOf(each.store, each.lease.seedId);
  expect([seed.lease?.holder, seed.leaseEpoch]).toEqual([each.lease.holder, each.lease.leaseEpoch]);
  expect(existsSync(each.task.folder.root)).toBe(false);
  // The folder is there before codex runs, so that it can be denied.
  expect(await readdir(join(each.host.config.dataDir, 'unsaved'))).toEqual([]);
  expect(each.told('taskEvicted')).toEqual(['taskEvicted']);
  expect(each.host.tasks.lossOf(REF)).toMatchObject({ code: 'HostLost' });
  expect(await evictionsOf(each)).toEqual([]);
  await expectWhole(each);
});

test('a task that already runs elsewhere has its token quarantined and its files set aside', async () => {
  const { each } = await toLetGo();
  const theirs = await each.steal();
  const before = await each.inSeed();
  await evictTask(each.host, { ref: REF, isOutdated: true });
  expect(await each.lives()).toBe(false);
  expect(await each.inSeed()).toEqual(before);
  expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
  expect((await seedOf(each.store, each.lease.seedId)).lease?.holder).toBe(theirs.holder);
  expect(await findCheckpoint(each.store, 't1', 'r1')).toBeNull();
  expect(each.told('taskEvicted')).toEqual([]);
  const unsaved = join(each.host.config.dataDir, 'unsaved');
  const [kept = ''] = await readdir(unsaved);
  expect(await readFile(join(unsaved, kept, 'work', 'made'), 'utf8')).toBe('by the agent');
  expect(await evictionsOf(each)).toEqual([]);
});

test('an orphaned Codex is stopped, and its task is saved as it is', async () => {
  const { each, rotated } = await toLetGo();
  each.session.leave({ isGone: false });
  await each.task.journal.close(0);
  await each.task.ledger.close();
  const next = await accountHost(each.host.config.dataDir, each.store, each.oauth, 60_000);
  expect(await each.lives()).toBe(true);
  const livedWhenSaved: boolean[] = [];
  const isHeld = () => livedWhenSaved.push(existsSync(`/proc/${each.session.record.pid}/fd/0`)) > 0;
  Object.assign(next.hostLease, { isHeld });
  await evictTask(next, { ref: REF, isOutdated: false });
  expect(new Set(livedWhenSaved)).toEqual(new Set([false]));
  expect(await each.lives()).toBe(false);
  expect(await each.inSeed()).toEqual(rotated);
  expect(existsSync(each.task.folder.root)).toBe(false);
  expect(await evictionsOf(each)).toEqual([]);
  // Codex was not asked to: the next host finds the turn open in its events.
  await expectWhole({ ...each, turnId: 'long turn' });
});

test('a task whose credential cannot be saved keeps everything until the next eviction', async () => {
  let proxy!: MongoProxy;
  const mongoUri = async (uri: string) => (proxy = await startMongoProxy(uri)).uri;
  const { each } = await toLetGo({ mongoUri });
  const evictions = evictTasks(each.host, Promise.resolve());
  proxy.cut();
  evictions.evict({ ref: REF, isOutdated: false });
  await evictions.close();
  expect(await each.lives()).toBe(false);
  const newest = await each.onDisk();
  expect([each.oauth.isGood(newest), await each.isSaved()]).toEqual([true, false]);
  expect(await evictionsOf(each)).toEqual(['t1/r1/s']);
  proxy.mend();
  evictions.evict({ ref: REF, isOutdated: false });
  await evictions.close();
  expect(await each.inSeed()).toEqual(newest);
  expect(existsSync(each.task.folder.root)).toBe(false);
  expect(await evictionsOf(each)).toEqual([]);
});
