import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { wakeWaiters } from '../../../src/session/host/wake-waiters.js';
import { holderOf } from '../../../src/store/holders.js';
import { leasesOfTask, releaseLease, type Lease } from '../../../src/store/leases.js';
import { databaseNow } from '../../../src/store/mongo.js';
import { insertSeed } from '../../../src/store/seeds.js';
import { acquireInTurn, waitersOfTask, wakeableWaiters } from '../../../src/store/waiters.js';
import { until } from '../../support/until.js';
import { auth, meanwhile, MINUTE, useStore } from '../../store/support.js';

const use = useStore();
const POOL = { pool: 'main' };
const task = (taskId: string) => ({
  taskId,
  runId: '11111111-2222-4333-8444-555555555555',
  assignmentId: '99999999-8888-4777-8666-555555555555',
});
const ask = (taskId: string) => acquireInTurn(use.store, POOL, task(taskId), MINUTE);

/** A worker that tells waiting tasks; `answer` is what becomes of its word. */
function waking(answer: (taskId: string) => Promise<'sent' | 'workflow-gone'>, store = use.store) {
  const told: string[] = [];
  const host = {
    store,
    log: pino({ enabled: false }),
    signalWorkflow({ taskId }: { taskId: string }, name: string) {
      told.push(`${name} ${taskId}`);
      return answer(taskId);
    },
  } as unknown as HostContext;
  const waker = wakeWaiters(host);
  onTestFinished(() => waker.close());
  return { told, waker };
}

async function leased(taskId: string): Promise<Lease> {
  const result = await ask(taskId);
  expect(result).toMatchObject({ kind: 'leased' });
  return (result as { lease: Lease }).lease;
}

test('a waiting task is told of a released seed, and nobody is before that', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('first');
  await ask('second');
  const { told, waker } = waking(() => Promise.resolve('sent'));
  await releaseLease(use.store, held);
  await until('a word', () => told.length > 0);
  await waker.close();
  expect(told).toEqual(['seedAvailable first']);
});

test('a waiter that is gone is passed over without delay for the next ones', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('gone');
  await ask('next');
  const { told } = waking((taskId) => Promise.resolve(taskId === 'gone' ? 'workflow-gone' : 'sent'));
  await releaseLease(use.store, held);
  // Sooner than who was told is told again.
  await until('the next', () => told.includes('seedAvailable next'));
  expect(await waitersOfTask(use.store, 'gone')).toEqual([]);
  expect(await leased('next')).toMatchObject({ holder: holderOf(task('next')) });
});

test('a look that fails is followed by another', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('first');
  await releaseLease(use.store, held);
  let hasFailed = false;
  const away = meanwhile(use.store, 1, () => {
    hasFailed = true;
    return Promise.reject(new Error('no answer'));
  });
  const { told } = waking(() => Promise.resolve('sent'), away);
  await until('a word', () => told.length > 0);
  expect(hasFailed).toBe(true);
});

test('a lost wake-up is repeated by whoever looks next', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('first');
  await releaseLease(use.store, held);
  let refusals = 0;
  const refused = waking(() => {
    refusals++;
    return Promise.reject(new Error('no Temporal'));
  });
  await until('a word that is lost', () => refusals > 0);
  await refused.waker.close();
  const [told] = await wakeableWaiters(use.store);
  expect(told).toMatchObject(task('first'));
});

test('a slow wake-up delays no other', async () => {
  const seeds = ['main', 'other'].map((pool) => insertSeed(use.store, { authJson: auth(pool), pool }));
  await Promise.all(seeds);
  const held = await leased('holder');
  await ask('slow');
  await acquireInTurn(use.store, { pool: 'other' }, task('other holder'), MINUTE);
  await acquireInTurn(use.store, { pool: 'other' }, task('next'), MINUTE);
  await releaseLease(use.store, held);
  let take: (sent: 'sent') => void = () => undefined;
  const taken = new Promise<'sent'>((resolve) => (take = resolve));
  const { told } = waking((taskId) => (taskId === 'slow' ? taken : Promise.resolve('sent')));
  onTestFinished(() => take('sent'));
  await until('the slow word', () => told.length > 0);
  const [other] = await leasesOfTask(use.store, 'other holder');
  await releaseLease(use.store, { ...other!, leaseEpoch: other!.leaseEpoch! });
  await until('the other word', () => told.includes('seedAvailable next'));
});

test('a wake-up that was lost with its worker is repeated soon', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('first');
  await releaseLease(use.store, held);
  // As a worker does that dies before it says so.
  await wakeableWaiters(use.store);
  const { told } = waking(() => Promise.resolve('sent'));
  await until('a word', () => told.length > 0);
  expect(told).toEqual(['seedAvailable first']);
});

test('the waker closes once nobody is being woken', async () => {
  await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await leased('holder');
  await ask('first');
  await releaseLease(use.store, held);
  let take: (sent: 'sent') => void = () => undefined;
  const taken = new Promise<'sent'>((resolve) => (take = resolve));
  let isTaken = false;
  const { told, waker } = waking(() => taken.finally(() => (isTaken = true)));
  await until('a word', () => told.length > 0);
  const closed = waker.close().then(() => isTaken);
  // Time for a close that waits for nothing.
  await databaseNow(use.store);
  take('sent');
  expect(await closed).toBe(true);
});
