import { expect, test, vi } from 'vitest';
import { hostsOf } from '../../src/store/collections.js';
import {
  enterHost,
  fenceTask,
  findHost,
  leaveHost,
  listGoneHosts,
  listHosts,
  registerHost,
  removeHost,
  renewHost,
  requestEviction,
  requestForgetting,
  acknowledgeEviction,
} from '../../src/store/hosts.js';
import { databaseNow } from '../../src/store/mongo.js';
import { MINUTE, replacing, useStore } from './support.js';

const assignment = (taskId: string) => ({ taskId, runId: 'r', assignmentId: 's' });

const use = useStore();
const HOST = { hostId: 'host-1', listenerUrl: 'http://127.0.0.1:8787', version: '0.1.0', ttlMs: MINUTE };

test('every start has a new epoch, even after the host left', async () => {
  const { epoch, evict } = await registerHost(use.store, HOST);
  expect(evict).toEqual([]);
  expect(await registerHost(use.store, HOST)).toEqual({ epoch: epoch + 1, evict });
  expect(await leaveHost(use.store, { hostId: 'host-1', epoch: epoch + 1 })).toBe(true);
  expect(await registerHost(use.store, HOST)).toEqual({ epoch: epoch + 2, evict });
});

test('the document of a host has what clients read, with its end by the database clock', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60 * MINUTE });
  await registerHost(use.store, { ...HOST, labels: { zone: 'a' } });
  vi.useRealTimers();
  const now = (await databaseNow(use.store)).getTime();
  const { hostId, ...shown } = HOST;
  const host = await hostsOf(use.store).findOne({ _id: hostId });
  expect(host).toEqual({
    _id: hostId,
    epoch: expect.any(Number) as number,
    evict: [],
    outdated: [],
    labels: { zone: 'a' },
    listenerUrl: shown.listenerUrl,
    version: shown.version,
    expiresAt: expect.any(Date) as Date,
    ttlMs: shown.ttlMs,
    format: 1,
  });
  expect(Math.abs(host!.expiresAt.getTime() - now - MINUTE)).toBeLessThan(10_000);
});

test('an older start and an unknown host are refused', async () => {
  const { epoch } = await registerHost(use.store, HOST);
  await registerHost(use.store, HOST);
  const before = await findHost(use.store, 'host-1');
  for (const wrong of [
    { hostId: 'host-1', epoch },
    { hostId: 'host-2', epoch: 1 },
  ]) {
    expect(await renewHost(use.store, wrong, 60 * MINUTE)).toBeNull();
    expect(await leaveHost(use.store, wrong)).toBe(false);
  }
  expect(await findHost(use.store, 'host-1')).toMatchObject({
    ...before,
    endsInMs: expect.any(Number) as number,
  });
  expect(await findHost(use.store, 'host-2')).toBeNull();
});

const asked = (taskId: string) => ({ ref: assignment(taskId), isOutdated: false });
const lost = (taskId: string) => ({ ref: assignment(taskId), isOutdated: true });

test('an eviction is outdated once its task is fenced, until it is acknowledged', async () => {
  const host = { hostId: 'host-1', ...(await registerHost(use.store, HOST)) };
  const told = async () => (await renewHost(use.store, host, MINUTE))?.evict;
  await requestEviction(use.store, 'host-1', assignment('t'));
  expect(await told()).toEqual([asked('t')]);
  await leaveHost(use.store, host);
  await fenceTask(use.store, 'host-1', assignment('t'));
  expect([await told(), await told()]).toEqual([[lost('t')], [lost('t')]]);
  await acknowledgeEviction(use.store, 'host-1', assignment('t'));
  await requestEviction(use.store, 'host-1', assignment('t'));
  expect(await told()).toEqual([asked('t')]);
});

test('a host whose lease ran out renews it and learns what to evict', async () => {
  const host = { hostId: 'host-1', ...(await registerHost(use.store, { ...HOST, ttlMs: -1 })) };
  expect(await findHost(use.store, 'host-1')).toMatchObject({ alive: false, evict: [] });
  expect(await requestEviction(use.store, 'host-1', assignment('task-1'))).toBe(true);
  expect(await requestEviction(use.store, 'host-1', assignment('task-1'))).toBe(true);
  expect(await requestEviction(use.store, 'host-1', assignment('task-2'))).toBe(true);
  expect(await renewHost(use.store, host, MINUTE)).toEqual({
    evict: [asked('task-1'), asked('task-2')],
    forget: [],
  });
  expect(await findHost(use.store, 'host-1')).toMatchObject({ alive: true });
});

test('an eviction outlives the restart of its host, until acknowledged', async () => {
  await registerHost(use.store, HOST);
  await requestEviction(use.store, 'host-1', assignment('task-1'));
  const host = { hostId: 'host-1', ...(await registerHost(use.store, HOST)) };
  expect(await renewHost(use.store, host, MINUTE)).toEqual({ evict: [asked('task-1')], forget: [] });
  await acknowledgeEviction(use.store, 'host-1', assignment('task-1'));
  expect(await renewHost(use.store, host, MINUTE)).toEqual({ evict: [], forget: [] });
});

test('an unknown host cannot be asked for anything', async () => {
  expect(await requestEviction(use.store, 'host-1', assignment('task-1'))).toBe(false);
  await acknowledgeEviction(use.store, 'host-1', assignment('task-1'));
  expect(await listHosts(use.store)).toEqual([]);
});

test('lists every host, with those that left', async () => {
  const { epoch } = await registerHost(use.store, { ...HOST, hostId: 'host-2' });
  await registerHost(use.store, HOST);
  await leaveHost(use.store, { hostId: 'host-2', epoch });
  expect(await listHosts(use.store)).toMatchObject([
    { hostId: 'host-1', alive: true },
    { hostId: 'host-2', alive: false },
  ]);
});

test('a host is fenced only when its lease is over, and learns it at its next start', async () => {
  const { epoch } = await registerHost(use.store, HOST);
  expect(await fenceTask(use.store, 'host-1', assignment('t'))).toBe(false);
  expect((await findHost(use.store, 'host-1'))?.evict).toEqual([]);
  await leaveHost(use.store, { hostId: 'host-1', epoch });
  expect(await fenceTask(use.store, 'host-1', assignment('t'))).toBe(true);
  expect(await renewHost(use.store, { hostId: 'host-1', epoch }, MINUTE)).toEqual({
    evict: [lost('t')],
    forget: [],
  });
  expect(await registerHost(use.store, HOST)).toMatchObject({ evict: [lost('t')] });
});

test('an unknown host has no lease', async () => {
  expect(await fenceTask(use.store, 'nobody', assignment('t'))).toBe(true);
});

const DAY = 24 * 60 * MINUTE;

test('lists hosts whose lease ended long ago, but not those with a journal to forget', async () => {
  for (const [hostId, ttlMs] of [
    ['gone', -DAY],
    ['away', -DAY + MINUTE],
    ['alive', MINUTE],
  ] as const)
    await registerHost(use.store, { ...HOST, hostId, ttlMs });
  await registerHost(use.store, { ...HOST, hostId: 'forgets' });
  await requestForgetting(use.store, 'purged');
  await registerHost(use.store, { ...HOST, hostId: 'forgets', ttlMs: -DAY });
  expect((await listGoneHosts(use.store, DAY)).map(({ hostId }) => hostId)).toEqual(['gone']);
});

test('a listed host that returns before its removal stays', async () => {
  await registerHost(use.store, { ...HOST, ttlMs: -DAY });
  const [gone] = await listGoneHosts(use.store, DAY);
  await registerHost(use.store, HOST);
  expect(await removeHost(use.store, gone!)).toBe(false);
  expect(await findHost(use.store, 'host-1')).toMatchObject({ alive: true });
});

test('a removed host that returns is unknown, and no start of it reuses an epoch', async () => {
  const before = { hostId: 'host-1', ...(await registerHost(use.store, { ...HOST, ttlMs: -DAY })) };
  await requestEviction(use.store, 'host-1', assignment('task-1'));
  expect(await removeHost(use.store, (await findHost(use.store, 'host-1'))!)).toBe(true);
  expect(await fenceTask(use.store, 'host-1', assignment('task-1'))).toBe(true);
  expect(await renewHost(use.store, before, MINUTE)).toBeNull();
  const inADay = new Date((await databaseNow(use.store)).getTime() + DAY);
  const command = () => Promise.resolve({ localTime: inADay });
  const after = await registerHost({ ...use.store, db: replacing(use.store.db, { command }) }, HOST);
  expect(after.evict).toEqual([]);
  expect(after.epoch).toBeGreaterThan(before.epoch);
  expect(await renewHost(use.store, before, MINUTE)).toBeNull();
});

test('folders on an unknown host are not its own, even at its next starts', async () => {
  expect(await registerHost(use.store, HOST, [assignment('t')])).toMatchObject({ evict: [lost('t')] });
  expect(await registerHost(use.store, HOST, [assignment('t'), assignment('of its own')])).toMatchObject({
    evict: [lost('t')],
  });
});

test('a host registers again only while no other start of it has', async () => {
  expect(await enterHost(use.store, HOST, 7, [])).toBe(true);
  expect(await enterHost(use.store, HOST, 8, [])).toBe(false);
  expect((await findHost(use.store, 'host-1'))?.epoch).toBe(7);
  const all = await Promise.all([1, 2, 3].map(() => registerHost(use.store, { ...HOST, hostId: 'host-2' })));
  expect(new Set(all.map(({ epoch }) => epoch)).size).toBe(3);
});
