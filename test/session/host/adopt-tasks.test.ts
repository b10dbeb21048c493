import { existsSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { isAlive } from '../../../src/process/process-identity.js';
import { renewTaskLease } from '../../../src/session/account/renew-task-lease.js';
import { adoptTasks } from '../../../src/session/host/adopt-tasks.js';
import { endSession } from '../../../src/session/task/end-task.js';
import type { HostContext } from '../../../src/session/model/host-context.js';
import type { HostTask } from '../../../src/session/model/host-tasks.js';
import { watchTask } from '../../../src/session/task/watch-task.js';
import { releaseLease } from '../../../src/store/leases.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { saveBack } from '../../../src/store/seeds.js';
import { until } from '../../support/until.js';
import {
  accountHost,
  startAccountSession,
  type AccountOptions,
  type AccountSession,
} from '../account/account-session.js';

const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const TTL_MS = 30_000;

/** A codex whose worker is gone without a word, or does not know of another one, and the next worker's view of the same data folder. */
async function leftAlone(options: AccountOptions = {}, { livesOn = false } = {}) {
  const each = await startAccountSession({ leaseTtlMs: TTL_MS, ...options });
  if (!livesOn) {
    each.session.leave({ isGone: false });
    await each.task.journal.close(0);
    await each.task.ledger.close();
  }
  const signals: AccountSession['signals'] = [];
  const next = await accountHost(each.host.config.dataDir, each.store, each.oauth, TTL_MS, signals);
  onTestFinished(async () => {
    await endSession(next, REF, { atOnce: true });
    const task = next.tasks.find('t1');
    if (task && task.kind !== 'claimed') {
      await task.prepared.journal.close(0);
      await task.prepared.ledger.close();
    }
    next.tasks.remove('t1');
  });
  return { each, next, signals, told: () => signals.map(({ name }) => name) };
}

const sessionOf = (host: HostContext) => host.tasks.find('t1') as Extract<HostTask, { kind: 'live' }>;
const isSaved = async (each: AccountSession) => (await each.inSeed()).equals(await each.onDisk());

test('an adopted task keeps its account until its worker goes', async () => {
  const { each, next } = await leftAlone();
  await adoptTasks(next);
  const { session, prepared } = sessionOf(next);
  expect(session.closed).toBe(false);
  expect(await isAlive(each.session.record)).toBe(true);
  await each.rotate();
  await until('a saved rotation', () => isSaved(each));
  expect(next.tasks.isWatched('t1', prepared.lease!)).toBe(true);
  next.tasks.detach();
  await until('the end of the watch', () => !next.tasks.isWatched('t1', prepared.lease!));
});

test('a lost lease stops an adopted Codex', async () => {
  const { each, next } = await leftAlone();
  Object.assign(next, { leaseTtlMs: 3_000 });
  await adoptTasks(next);
  await each.steal();
  await until('the end of codex', async () => !(await isAlive(each.session.record)));
  // Its deadline may have stopped it before a renewal found the loss: then the next launch does.
  const failed = () => {
    const task = next.tasks.find('t1');
    return task?.kind === 'recovering' ? task.failed : null;
  };
  expect(await until('the loss', () => next.tasks.lossOf(REF) ?? failed())).toMatchObject({
    code: 'LeaseLost',
  });
});

test('a Codex whose lease was lost meanwhile is stopped, and its workflow is told', async () => {
  const { each, next, told } = await leftAlone();
  await each.rotate();
  await each.steal();
  await adoptTasks(next);
  expect(await isAlive(each.session.record)).toBe(false);
  expect(next.tasks.find('t1')).toBeUndefined();
  expect(next.tasks.lossOf(REF)).toMatchObject({ code: 'LeaseLost' });
  expect(await listQuarantine(each.store, each.lease.seedId)).toHaveLength(1);
  expect(existsSync(each.task.folder.root)).toBe(false);
  expect(told()).toEqual(['hostRestarted']);
});

test('adoption ends the lease of an older process, which stops its Codex', async () => {
  const { each, next, signals } = await leftAlone({}, { livesOn: true });
  await adoptTasks(next);
  const lease = { ...each.lease, leaseEpoch: each.lease.leaseEpoch + 1 };
  expect(sessionOf(next).prepared.lease).toEqual(lease);
  expect(JSON.parse(await readFile(each.task.folder.taskJson, 'utf8'))).toMatchObject({ lease });
  expect(signals).toContainEqual({ name: 'hostRestarted', argument: { hostId: 'h1', lease } });

  expect(await renewTaskLease(each.host, 't1', each.lease)).toBe('taken');
  const rotated = each.oauth.login();
  expect(await saveBack(each.store, each.lease, rotated, { taskId: 't1' })).toMatchObject({
    kind: 'quarantined',
  });
  expect(await releaseLease(each.store, each.lease)).toBe(false);
  expect(await renewTaskLease(next, 't1', lease)).toBe('ours');
  watchTask(each.host, REF, each.lease);
  await until('the end of its codex', async () => !(await isAlive(each.session.record)));
});

test('a task that was ending gets no new Codex and finishes its teardown', async () => {
  const { each, next, told, signals } = await leftAlone();
  await appendFile(each.task.folder.ledger, '{"t":"ending"}\n');
  await adoptTasks(next);
  expect(await isAlive(each.session.record)).toBe(false);
  expect(next.tasks.find('t1')).toMatchObject({ kind: 'ending' });
  expect(existsSync(each.task.folder.root)).toBe(true);
  expect(told()).toEqual(['hostRestarted']);
  const lease = { ...each.lease, leaseEpoch: each.lease.leaseEpoch + 1 };
  expect(signals[0]).toMatchObject({ argument: { lease } });
});
