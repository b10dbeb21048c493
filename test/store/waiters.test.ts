import { expect, test } from 'vitest';
import { markSeed } from '../../src/store/assign-seed.js';
import { listExpired, releaseLease, type Lease } from '../../src/store/leases.js';
import { releaseLimited } from '../../src/store/limit-seed.js';
import { databaseNow } from '../../src/store/mongo.js';
import { insertSeed } from '../../src/store/seeds.js';
import { acquireInTurn, forgetWaiter, wakeableWaiters } from '../../src/store/waiters.js';
import { auth, lease, MINUTE, seedOf, useStore } from './support.js';

const use = useStore();
const POOL = { pool: 'main' };
const task = (name: string) => ({ taskId: name, runId: 'r', assignmentId: 's' });
let made = 0;
const newSeed = () => insertSeed(use.store, { authJson: auth(`t${++made}`), pool: 'main' });
const ask = (name: string, source: Parameters<typeof acquireInTurn>[1] = POOL) =>
  acquireInTurn(use.store, source, task(name), MINUTE);
const woken = async () => (await wakeableWaiters(use.store)).map(({ taskId }) => taskId);

async function leased(name: string): Promise<Lease> {
  const result = await ask(name);
  expect(result).toMatchObject({ kind: 'leased' });
  return (result as { lease: Lease }).lease;
}

test('a released seed goes to the longest waiting task and not to a newcomer', async () => {
  await newSeed();
  const held = await leased('holder');
  expect(await ask('first')).toEqual({ kind: 'busy' });
  expect(await ask('second')).toEqual({ kind: 'busy' });
  expect(await woken()).toEqual([]);
  await releaseLease(use.store, held);
  expect(await ask('newcomer')).toEqual({ kind: 'busy' });
  expect(await ask('second')).toEqual({ kind: 'busy' });
  expect(await woken()).toEqual(['first']);
  const first = await leased('first');
  await releaseLease(use.store, first);
  expect(await woken()).toEqual(['second']);
  await releaseLease(use.store, await leased('second'));
  expect(await woken()).toEqual(['newcomer']);
});

test('as many waiters are told as seeds are free, and again when one does not come', async () => {
  const seeds = [await newSeed(), await newSeed()];
  const held = [await leased('h1'), await leased('h2')];
  for (const name of ['a', 'b', 'c']) await ask(name);
  for (const each of held) await releaseLease(use.store, each);
  const told = await Promise.all([woken(), woken(), woken()]);
  expect(told.flat().sort()).toEqual(['a', 'b']);
  expect(await woken()).toEqual([]);
  await use.store.db
    .collection(`${use.store.prefix}_codex_waiters`)
    .updateMany({}, { $set: { wokenAt: new Date(Date.now() - MINUTE) } });
  expect(await woken()).toEqual(['a', 'b']);
  // One that is there no more is passed over.
  await forgetWaiter(use.store, task('a'));
  expect(await woken()).toEqual(['c']);
  expect(seeds).toHaveLength(2);
});

test('a repeated call gets its seed again although others wait', async () => {
  await newSeed();
  const mine = await leased('mine');
  await ask('other');
  const again = await leased('mine');
  expect(again).toMatchObject({ seedId: mine.seedId, leaseEpoch: mine.leaseEpoch + 1 });
});

test('a waiter that does not ask again in time is dropped', async () => {
  await newSeed();
  const held = await leased('holder');
  await ask('gone');
  await use.store.db
    .collection(`${use.store.prefix}_codex_waiters`)
    .updateMany({}, { $set: { expiresAt: new Date(Date.now() - 1_000) } });
  await releaseLease(use.store, held);
  // Also before anybody has cleared the line.
  await releaseLease(use.store, await leased('newcomer'));
  expect(await woken()).toEqual([]);
});

test('one seed and its pool have separate waiters', async () => {
  const seedId = await newSeed();
  const held = await leased('holder');
  await ask('of-pool');
  await ask('of-seed', { seedId });
  await releaseLease(use.store, held);
  expect((await woken()).sort()).toEqual(['of-pool', 'of-seed']);
});

test('a newcomer to a pool that died meanwhile is refused with the reason', async () => {
  const seedId = await newSeed();
  await leased('holder');
  await ask('first');
  await markSeed(use.store, seedId, 'dead');
  expect(await ask('newcomer')).toMatchObject({
    kind: 'none',
    reason: expect.stringContaining(seedId) as string,
  });
});

test('a seed out of quota is released for later by its holder only', async () => {
  const seedId = await newSeed();
  const held = await leased('holder');
  await ask('waiter');
  const now = await databaseNow(use.store);
  const until = new Date(now.getTime() + MINUTE);
  expect(await releaseLimited(use.store, { ...held, leaseEpoch: 0 }, until)).toBe(false);
  expect(await releaseLimited(use.store, held, until)).toBe(true);
  expect(await seedOf(use.store, seedId)).toMatchObject({ lease: null, metadata: { limitedUntil: until } });
  expect(await woken()).toEqual([]);
  expect(await ask('waiter')).toEqual({ kind: 'busy' });
  // Over: the database's clock says so.
  const again = await insertSeed(use.store, { authJson: auth('u'), pool: 'other' });
  const other = await lease(use.store, { pool: 'other' }, 'x');
  await releaseLimited(use.store, other, new Date(now.getTime() - 1));
  expect(await lease(use.store, { pool: 'other' }, 'y')).toMatchObject({ seedId: again });
});

const waiters = () => use.store.db.collection(`${use.store.prefix}_codex_waiters`);
/** As if everybody had been told so long ago. */
const toldBefore = (ms: number) => waiters().updateMany({}, { $set: { wokenAt: new Date(Date.now() - ms) } });

test('a waiter that was told repeatedly is passed over and keeps its place', async () => {
  await newSeed();
  const held = await leased('holder');
  for (const name of ['slow', 'behind', 'last']) await ask(name);
  await releaseLease(use.store, held);
  expect(await woken()).toEqual(['slow']);
  expect(await ask('behind')).toEqual({ kind: 'busy' });
  await toldBefore(3_000);
  expect(await woken()).toEqual(['slow']);
  expect(await woken()).toEqual([]);
  expect(await ask('behind')).toEqual({ kind: 'busy' });
  await toldBefore(3_000);
  expect(await woken()).toEqual(['behind']);
  const behind = await leased('behind');
  expect(await ask('slow')).toEqual({ kind: 'busy' });
  await releaseLease(use.store, behind);
  expect(await woken()).toEqual(['slow']);
  expect(await ask('last')).toEqual({ kind: 'busy' });
  await releaseLease(use.store, await leased('slow'));
  expect(await woken()).toEqual(['last']);
});

test('a passed waiter is told once more seeds are free, and delays nobody', async () => {
  const seeds = [await newSeed(), await newSeed()];
  const held = [await leased('h1'), await leased('h2')];
  for (const name of ['slow', 'behind']) await ask(name);
  await waiters().updateOne({ taskId: 'slow' }, { $set: { told: 2, wokenAt: new Date(Date.now() - 3_000) } });
  for (const each of held) await releaseLease(use.store, each);
  expect(await woken()).toEqual(['behind', 'slow']);
  for (const name of ['newcomer', 'behind']) await leased(name);
  expect(seeds).toHaveLength(2);
});

test('a thousand waiters of one pool delay no waiter of another', async () => {
  await newSeed();
  await leased('holder');
  const now = Date.now();
  const line = Array.from({ length: 1_500 }, (_, i) => ({
    _id: `a${i}/r/s` as never,
    ...task(`a${i}`),
    source: 'pool:main',
    since: new Date(now - 100_000 + i),
    expiresAt: new Date(now + 900_000),
    wokenAt: new Date(0),
  }));
  await waiters().insertMany(line);
  await insertSeed(use.store, { authJson: auth('b'), pool: 'other' });
  const held = await lease(use.store, { pool: 'other' }, 'x');
  expect(await ask('b', { pool: 'other' })).toEqual({ kind: 'busy' });
  await releaseLease(use.store, held);
  expect(await woken()).toEqual(['b']);
  expect(await ask('c', { pool: 'other' })).toEqual({ kind: 'busy' });
  expect(await ask('b', { pool: 'other' })).toMatchObject({ kind: 'leased' });
});

test('a waiter is told, and its lease judged, by workers of its own namespace', async () => {
  const [ours, theirs] = ['ours', 'theirs'].map((fleet) => ({ ...use.store, fleet }));
  await newSeed();
  const held = await leased('holder');
  expect(await acquireInTurn(ours!, POOL, task('mine'), MINUTE)).toEqual({ kind: 'busy' });
  await releaseLease(use.store, held);
  expect(await wakeableWaiters(theirs!)).toEqual([]);
  expect((await wakeableWaiters(ours!)).map(({ taskId }) => taskId)).toEqual(['mine']);
  expect(await acquireInTurn(ours!, POOL, task('mine'), -1)).toMatchObject({ kind: 'leased' });
  expect(await listExpired(theirs!)).toMatchObject([{ fleet: 'ours' }]);
});
