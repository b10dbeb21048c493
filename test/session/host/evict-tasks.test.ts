import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { evictTasks, evictTask } from '../../../src/session/host/evict-tasks.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { openRecords } from '../../../src/session/task/open-records.js';
import { yieldAssignment } from '../../../src/session/host/yield-assignment.js';
import { openAccount } from '../../../src/session/account/task-account.js';
import { restoreTask } from '../../../src/session/task/restore-task.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import { findHost, registerHost, requestEviction } from '../../../src/store/hosts.js';
import { beginAssignment } from '../../../src/store/assignments.js';
import { findCheckpoint } from '../../../src/store/task-state.js';
import { parseTaskInput } from '../../../src/input/parse-task-input.js';
import { useStore } from '../../store/support.js';
import { testFolder } from '../../support/folders.js';

const use = useStore();
const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const HOST = { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 60_000 };

type State = { kind: 'prepared'; parked?: boolean } | { kind: 'recovering'; mounted: boolean; failed: null };

/** A task without a codex on a host that was asked to let it go. */
async function taskWithoutCodex(state: State, threadId: string | null) {
  const dataDir = await testFolder();
  const signals: string[] = [];
  const tasks = new HostTasks(4);
  const host = {
    config: { dataDir, journalBytes: null, commandEnv: [], minFreeBytes: 1 },
    store: use.store,
    hostId: 'h1',
    log: pino({ enabled: false }),
    hostLease: { isHeld: () => true, whenHeld: () => Promise.resolve(), isToEvict: () => false },
    tasks,
    isRunning: () => Promise.resolve(true),
    signalWorkflow: (_ref: unknown, name: string) => Promise.resolve(signals.push(name)),
  } as unknown as HostContext;
  const folder = taskFolder(dataDir, 't1');
  for (const path of [folder.work, folder.codexHome, folder.journal]) await mkdir(path, { recursive: true });
  await writeFile(join(folder.work, 'a.txt'), 'so far');
  const records = await openRecords(host, { ref: REF, moved: null }, folder, null);
  onTestFinished(async () => {
    await records.journal.close();
    await records.ledger.close();
  });
  const spec = parseTaskInput({ mode: 'conversation' }, 't1');
  const rest = {
    account: openAccount(null),
    threadId,
    warnings: [],
    recalled: null,
    moved: null,
    lease: null,
  };
  const prepared = { ref: REF, spec, folder, ...records, ...rest };
  tasks.set({ ref: REF, stopping: new AbortController(), prepared, ...state });
  await registerHost(use.store, HOST);
  await requestEviction(use.store, 'h1', REF);
  return { host, folder, spec, records, signals };
}

test.each<[string, State]>([
  ['is parked', { kind: 'prepared', parked: true }],
  ['recovers', { kind: 'recovering', mounted: true, failed: null }],
])('a task that %s is evicted with its thread, events and workdir', async (_name, state) => {
  const { host, folder, spec, records, signals } = await taskWithoutCodex(state, 'thread');
  records.journal.append('{"type":"x-optio-parked"}');
  await records.ledger.write({ t: 'suspended', turnId: 'turn' });
  await evictTask(host, { ref: REF, isOutdated: false });

  expect(host.tasks.size).toBe(0);
  expect(existsSync(folder.root)).toBe(false);
  expect(existsSync(join(host.config.dataDir, 'unsaved'))).toBe(false);
  expect(signals).toEqual(['taskEvicted']);
  expect((await findHost(use.store, 'h1'))?.evict).toEqual([]);
  const kept = await findCheckpoint(use.store, 't1', 'r1');
  expect(kept).toMatchObject({
    snapshot: { sessionId: 'thread' },
    checkpoint: { isWhole: true, lastEventId: 1 },
  });

  const next = taskFolder(await testFolder(), 't1');
  for (const path of [next.work, next.codexHome, next.journal]) await mkdir(path, { recursive: true });
  expect(await restoreTask(host, REF, spec, next)).toMatchObject({ threadId: 'thread' });
  expect(await readFile(join(next.work, 'a.txt'), 'utf8')).toBe('so far');
  expect(await readFile(next.ledger, 'utf8')).toContain('"turnId":"turn"');
});

test('a parked task that cannot be saved leaves its workdir for a person', async () => {
  const { host } = await taskWithoutCodex({ kind: 'prepared', parked: true }, 'thread');
  await evictTask(host, { ref: REF, isOutdated: true });
  expect(await findCheckpoint(use.store, 't1', 'r1')).toBeNull();
  const unsaved = join(host.config.dataDir, 'unsaved');
  const [kept = ''] = await readdir(unsaved);
  expect(await readFile(join(unsaved, kept, 'work', 'a.txt'), 'utf8')).toBe('so far');
});

test('a task that never ran Codex leaves nothing and starts again elsewhere', async () => {
  const { host, folder } = await taskWithoutCodex({ kind: 'prepared' }, null);
  await evictTask(host, { ref: REF, isOutdated: false });
  expect(await findCheckpoint(use.store, 't1', 'r1')).toBeNull();
  expect(existsSync(folder.root)).toBe(false);
  expect(existsSync(join(host.config.dataDir, 'unsaved'))).toBe(false);
});

test('an eviction waits for adoption, counts once and saves nothing outdated', async () => {
  const { host, folder, signals } = await taskWithoutCodex({ kind: 'prepared', parked: true }, 'thread');
  let markReady: () => void = () => undefined;
  const evictions = evictTasks(host, new Promise<void>((resolve) => (markReady = resolve)));
  evictions.evict({ ref: REF, isOutdated: true });
  evictions.evict({ ref: REF, isOutdated: true });
  await new Promise((resolve) => setImmediate(resolve));
  expect([existsSync(folder.root), host.tasks.isLeaving('t1')]).toEqual([true, false]);
  markReady();
  await evictions.close();
  expect(existsSync(folder.root)).toBe(false);
  expect(await findCheckpoint(use.store, 't1', 'r1')).toBeNull();
  expect(signals).toEqual([]);
  expect((await findHost(use.store, 'h1'))?.evict).toEqual([]);
});

test.each([
  ['saved for the next assignment while it is the task’s', 'h1', true],
  ['put away unsaved once the task went on elsewhere, for what that has saved is newer', 'h2', false],
])('an assignment that is to be evicted is %s', async (_name, hostId, isSaved) => {
  const { host, folder } = await taskWithoutCodex({ kind: 'prepared', parked: true }, 'thread');
  await beginAssignment(use.store, {
    ...REF,
    ...(hostId === 'h2' && { assignmentId: 'later' }),
    hostId,
    ordinal: 0,
  });
  await yieldAssignment(host, REF);
  expect(existsSync(folder.root)).toBe(false);
  expect((await findCheckpoint(use.store, 't1', 'r1')) !== null).toBe(isSaved);
});

test('a place that was claimed and not taken is free at once', async () => {
  const { host } = await taskWithoutCodex({ kind: 'prepared' }, null);
  host.tasks.remove('t1');
  host.tasks.claim(REF);
  await evictTask(host, { ref: REF, isOutdated: false });
  expect(host.tasks.size).toBe(0);
  expect((await findHost(use.store, 'h1'))?.evict).toEqual([]);
});
