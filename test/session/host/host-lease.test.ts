import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { FORMATS, NewerFormat } from '../../../src/formats.js';
import { readDeadline, uptimeSeconds } from '../../../src/process/deadline.js';
import { detachSessions } from '../../../src/session/host/detach-sessions.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { holdHostLease } from '../../../src/session/host/host-lease.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { stopSessions } from '../../../src/session/host/stop-sessions.js';
import { hostsOf } from '../../../src/store/collections.js';
import {
  findHost,
  fenceTask,
  registerHost,
  removeHost,
  requestEviction,
  requestForgetting,
  acknowledgeEviction,
  type Eviction,
} from '../../../src/store/hosts.js';
import { type Store } from '../../../src/store/mongo.js';
import { timeLimit } from '../../../src/async/time-limit.js';
import { testFolder } from '../../support/folders.js';
import { startMongoProxy } from '../../support/mongo-proxy.js';
import { until } from '../../support/until.js';
import { useStore } from '../../store/support.js';
import { openStore } from '../../../src/store/open-store.js';

const assignment = (taskId: string) => ({ taskId, runId: 'r', assignmentId: 's' });

const use = useStore();

/** A host whose right lasts 3 s: it is renewed twice a second. */
async function hold(
  store: Store,
  onEvict: (eviction: Eviction) => void = () => undefined,
  onForget: (taskId: string) => void = () => undefined,
  dataDir?: string,
  onBack: () => void = () => undefined,
  onSuperseded: () => void = () => undefined,
) {
  dataDir ??= await testFolder();
  const host = {
    config: { dataDir, commandEnv: [] },
    hostId: 'h1',
    store,
    codex: { version: '0.171.0' },
    log: pino({ enabled: false }),
    tasks: new HostTasks(4),
    leaseTtlMs: 3_000,
  } as unknown as HostContext;
  const listenerUrl = 'http://127.0.0.1:1';
  const lease = await holdHostLease(host, { listenerUrl, onEvict, onForget, onBack, onSuperseded });
  onTestFinished(() => lease.close().catch(() => undefined));
  return { lease, dataDir, host };
}

const never = new AbortController().signal;

test('a host does not start while its folder has files of a newer worker', async () => {
  const dataDir = await testFolder();
  const folder = join(dataDir, 'tasks', 't');
  await mkdir(folder, { recursive: true });
  const text = JSON.stringify({ pid: 1, version: FORMATS.process.version + 1 });
  await writeFile(join(folder, 'process.json'), text);
  await expect(hold(use.store, undefined, undefined, dataDir)).rejects.toThrow(NewerFormat);
  expect(await findHost(use.store, 'h1')).toBeNull();
  expect(await readFile(join(folder, 'process.json'), 'utf8')).toBe(text);
});

test('each renewal moves the end in the database and the deadline of the guard', async () => {
  const { lease, dataDir } = await hold(use.store);
  const [first, deadline] = [await findHost(use.store, 'h1'), await readDeadline(dataDir)];
  expect(lease.isHeld()).toBe(true);
  await lease.whenHeld(never);
  await until('a renewal', async () => (await findHost(use.store, 'h1'))!.expiresAt > first!.expiresAt);
  await until('a later deadline', async () => (await readDeadline(dataDir))! > deadline!);
  await lease.close();
  expect((await findHost(use.store, 'h1'))?.alive).toBe(false);
});

test('the right ends on the host before it ends in the database', async () => {
  const own = await openStore({ uri: use.uri, prefix: use.store.prefix, connectTimeoutMs: 200 });
  const { lease } = await hold(own);
  const { expiresAt } = (await findHost(use.store, 'h1'))!;
  await own.close();
  await until('the end of the right', () => !lease.isHeld());
  expect(Date.now()).toBeLessThan(expiresAt.getTime());
  const gaveUp = new AbortController();
  const waiting = lease.whenHeld(gaveUp.signal);
  gaveUp.abort(new Error('gave up'));
  await expect(waiting).rejects.toThrow('gave up');
});

test('a second start of a host ends the right of the first for good', async () => {
  let told = 0;
  const { lease } = await hold(use.store, undefined, undefined, undefined, undefined, () => told++);
  await registerHost(use.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 3_000 });
  await until('the end of the right', () => !lease.isHeld());
  expect(told).toBe(1);
  await expect(lease.whenHeld(never)).rejects.toMatchObject({ code: 'HostLost' });
});

test('tasks to evict are reported to the host while it runs and at its start', async () => {
  const told: Eviction[] = [];
  const forgotten: string[] = [];
  const { lease } = await hold(
    use.store,
    (eviction) => void told.push(eviction),
    (taskId) => void forgotten.push(taskId),
  );
  expect(lease.evicted).toEqual([]);
  await requestEviction(use.store, 'h1', assignment('a'));
  await requestForgetting(use.store, 'ended');
  await until('the tasks', () => told.length > 0 && forgotten.includes('ended'));
  await lease.close();
  expect(await fenceTask(use.store, 'h1', assignment('b'))).toBe(true);
  const next = await hold(use.store);
  expect(told[0]).toEqual({ ref: assignment('a'), isOutdated: false });
  expect(next.lease.evicted).toEqual([
    { ref: assignment('a'), isOutdated: false },
    { ref: assignment('b'), isOutdated: true },
  ]);
  expect(['s', 'elsewhere'].map((assignmentId) => next.lease.isToEvict(assignmentId))).toEqual([true, false]);
});

test('a task that may run elsewhere stays outdated until it is evicted', async () => {
  const told: Eviction[] = [];
  const { lease } = await hold(use.store, (eviction) => void told.push(eviction));
  // As if this machine had stood still, its clock as well.
  await hostsOf(use.store).updateOne({ _id: 'h1' }, { $set: { expiresAt: new Date(0) } });
  await until('its end in the database', () => fenceTask(use.store, 'h1', assignment('a')));
  await until('its second telling', () => told.length > 1);
  expect(told.slice(0, 2)).toEqual([
    { ref: assignment('a'), isOutdated: true },
    { ref: assignment('a'), isOutdated: true },
  ]);
  await acknowledgeEviction(use.store, 'h1', assignment('a'));
  await until('its end', () => !lease.isToEvict('s'));
});

test.each([
  ['detached', (host: HostContext) => detachSessions(host)],
  ['stopped', (host: HostContext) => stopSessions(host)],
])('a %s worker with tasks leaves ten minutes for the next, and none without tasks', async (_how, go) => {
  const { lease, host, dataDir } = await hold(use.store);
  host.tasks.claim({ taskId: 't1', runId: 'r1', assignmentId: 's' });
  await go(host);
  await lease.close();
  const { expiresAt } = (await findHost(use.store, 'h1'))!;
  expect(expiresAt.getTime() - Date.now()).toBeGreaterThan(500_000);
  expect((await readDeadline(dataDir))! - uptimeSeconds()).toBeGreaterThan(500);

  const next = await hold(use.store);
  await go(next.host);
  await next.lease.close();
  expect((await findHost(use.store, 'h1'))?.alive).toBe(false);
});

test('the right can be extended once', async () => {
  const { lease, dataDir } = await hold(use.store);
  await lease.extend(600_000);
  const { expiresAt } = (await findHost(use.store, 'h1'))!;
  expect(expiresAt.getTime() - Date.now()).toBeGreaterThan(500_000);
  expect((await readDeadline(dataDir))! - uptimeSeconds()).toBeGreaterThan(500);
});

test('a start that was superseded moves no deadline and ends no other right', async () => {
  const { lease, dataDir } = await hold(use.store);
  await registerHost(use.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: 60_000 });
  const { expiresAt } = (await findHost(use.store, 'h1'))!;
  await lease.extend(600_000);
  expect((await readDeadline(dataDir))! - uptimeSeconds()).toBeLessThan(60);
  await lease.close();
  expect(await findHost(use.store, 'h1')).toMatchObject({ alive: true, expiresAt });
});

test('a right that returns counts only once the host knows which tasks it has lost', async () => {
  const heldWhenTold: boolean[] = [];
  const waiting: { isHeld: () => boolean } = { isHeld: () => true };
  const proxy = await startMongoProxy(use.uri);
  const own = await openStore({ uri: proxy.uri, prefix: use.store.prefix, connectTimeoutMs: 500 });
  onTestFinished(() => own.close());
  let returns = 0;
  const { lease } = await hold(
    own,
    () => void heldWhenTold.push(waiting.isHeld()),
    () => undefined,
    undefined,
    () => void returns++,
  );
  waiting.isHeld = () => lease.isHeld();
  proxy.cut();
  await until('the end of the right', () => !lease.isHeld());
  await until('its end in the database', () => fenceTask(use.store, 'h1', assignment('t1')));
  proxy.mend();
  await lease.whenHeld(AbortSignal.any([never, timeLimit(20_000)]));
  expect(heldWhenTold[0]).toBe(false);
  // Those who took it for lost are told once.
  await until('its word', () => returns > 0);
  expect(returns).toBe(1);
});

const sorted = (evictions: readonly Eviction[]) =>
  evictions.toSorted((a, b) => a.ref.taskId.localeCompare(b.ref.taskId));

/** A task's folder that says whose it is. */
async function leave(dataDir: string, taskId: string): Promise<void> {
  await mkdir(join(dataDir, 'tasks', taskId), { recursive: true });
  await writeFile(join(dataDir, 'tasks', taskId, 'task.json'), JSON.stringify({ ref: assignment(taskId) }));
}

/** What a day and no running task of its own make of a host. */
const forget = async () => removeHost(use.store, (await findHost(use.store, 'h1'))!);

test('a forgotten host evicts all in its folder when it starts and saves nothing', async () => {
  const { lease, dataDir } = await hold(use.store);
  await lease.close();
  for (const name of ['a', 'b']) await leave(dataDir, name);
  for (const name of ['unnamed', '.no task']) await mkdir(join(dataDir, 'tasks', name), { recursive: true });
  await until('its removal', forget);
  const back = await hold(use.store, undefined, undefined, dataDir);
  const all = [
    { ref: assignment('a'), isOutdated: true },
    { ref: assignment('b'), isOutdated: true },
  ];
  expect(sorted(back.lease.evicted)).toEqual(all);
  expect(back.lease.isHeld()).toBe(true);
  // Nor when that worker died before it let go of them.
  await back.lease.close();
  const next = await hold(use.store, undefined, undefined, dataDir);
  expect(sorted(next.lease.evicted)).toEqual(all);
});

test('a frozen worker whose host was forgotten continues without its tasks', async () => {
  const told = new Map<string, Eviction>();
  const { lease, host, dataDir } = await hold(
    use.store,
    (eviction) => void told.set(eviction.ref.taskId, eviction),
  );
  host.tasks.claim({ ...assignment('claimed'), assignmentId: 's2' });
  await leave(dataDir, 'left');
  await until('its removal', forget);
  await until('its tasks', () => told.size === 2);
  expect(sorted([...told.values()])).toEqual([
    { ref: { ...assignment('claimed'), assignmentId: 's2' }, isOutdated: true },
    { ref: assignment('left'), isOutdated: true },
  ]);
  await lease.whenHeld(AbortSignal.any([never, timeLimit(20_000)]));
  await until('a renewal', async () => (await findHost(use.store, 'h1'))?.alive);
});
