import { ObjectId, type CommandSucceededEvent, type Document } from 'mongodb';
import { beforeEach, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { seedsOf, snapshotsOf, type SeedDocument } from '../../src/store/collections.js';
import { leasesOfTask, listExpired, releaseLease } from '../../src/store/leases.js';
import { insertSeed } from '../../src/store/seeds.js';
import { insertSnapshot, pruneSnapshots, snapshotsOfTask } from '../../src/store/snapshots.js';
import { acquireInTurn, wakeableWaiters } from '../../src/store/waiters.js';
import { auth, MINUTE, useStore } from './support.js';

const use = useStore();
const MANY = 1_500;
/** Documents that one step of a task's life, or one look of a timer, may be sent, however many there are. */
const FEW = 15;

/** How many documents the server sends for what `act` asks. */
async function sentFor(act: () => Promise<unknown>): Promise<number> {
  let sent = 0;
  const count = ({ reply }: CommandSucceededEvent) => {
    const { cursor, value, values } = reply as Document;
    sent += ((cursor as Document)?.['firstBatch'] as unknown[] | undefined)?.length ?? 0;
    sent += ((cursor as Document)?.['nextBatch'] as unknown[] | undefined)?.length ?? 0;
    sent += value ? 1 : ((values as unknown[] | undefined)?.length ?? 0);
  };
  use.store.client.on('commandSucceeded', count);
  try {
    await act();
    return sent;
  } finally {
    use.store.client.off('commandSucceeded', count);
  }
}

const inPool = (poolKey: string, more: Partial<SeedDocument> = {}): SeedDocument[] =>
  Array.from({ length: MANY }, (_, i) => ({
    _id: new ObjectId(),
    createdAt: new Date(),
    blobId: new ObjectId(),
    manifestVersion: 1,
    poolKey,
    lastLeasedAt: new Date(i),
    ...more,
    ...(more.lease && { lease: { ...more.lease, holder: `t${i}/r/s` } }),
  }));
const lease = { holder: '', expiresAt: new Date(Date.now() + 60 * MINUTE) };

beforeEach(async () => {
  await seedsOf(use.store).insertMany([
    ...inPool('leased', { lease, leaseEpoch: 1 }),
    ...inPool('dead', { status: 'dead' }),
    ...inPool('limited', { metadata: { limitedUntil: lease.expiresAt } }),
    ...inPool('free', { lease: null, leaseEpoch: 1 }),
  ]);
});

test.each([
  ['leased', 'busy'],
  ['limited', 'busy'],
  ['dead', 'none'],
  ['free', 'leased'],
])('reads few documents of a pool of %s seeds, of any size, to say %s', async (pool, kind) => {
  const request = { step: 's', at: new Date() };
  let answer: unknown;
  const ask = async () => (answer = await acquireSeed(use.store, { pool }, 'me/r/s', MINUTE, request));
  expect(await sentFor(ask)).toBeLessThan(FEW);
  expect(answer).toMatchObject({ kind });
});

test('reads few waiters when many wait', async () => {
  const now = Date.now();
  const line = Array.from({ length: MANY }, (_, i) => ({
    _id: `w${i}/r/s` as never,
    taskId: `w${i}`,
    runId: 'r',
    assignmentId: 's',
    source: `pool:${i % 2 ? 'leased' : 'limited'}`,
    since: new Date(now - 100_000 + i),
    expiresAt: new Date(now + 15 * MINUTE),
    wokenAt: new Date(0),
  }));
  await use.store.db.collection(`${use.store.prefix}_codex_waiters`).insertMany(line);
  expect(await sentFor(() => wakeableWaiters(use.store))).toBeLessThan(FEW);
  const ask = () =>
    acquireInTurn(use.store, { pool: 'leased' }, { taskId: 'me', runId: 'r', assignmentId: 's' }, MINUTE);
  expect(await sentFor(ask)).toBeLessThan(FEW);
});

test('finds the leases of one task, and expired ones, without reading the others', async () => {
  expect(await sentFor(() => leasesOfTask(use.store, 't7'))).toBeLessThan(FEW);
  expect(await sentFor(() => listExpired(use.store))).toBeLessThan(FEW);
});

test('prunes the snapshots of a key and finds those of a task without other reads', async () => {
  await snapshotsOf(use.store).insertMany(
    Array.from({ length: MANY }, (_, i) => ({
      _id: new ObjectId(),
      processId: `k${i}`,
      taskId: `t${i}`,
      capturedAt: new Date(i),
      endState: 'done' as const,
      workdirBlobId: new ObjectId(),
      sessionId: null,
      layout: 2,
    })),
  );
  for (let i = 0; i < 3; i++)
    await insertSnapshot(use.store, {
      key: 'mine',
      taskId: 'me',
      blobId: new ObjectId().toHexString(),
      sessionId: null,
      endState: 'done',
    });
  expect(await sentFor(() => pruneSnapshots(use.store, 'mine', 1))).toBeLessThan(FEW);
  expect(await sentFor(() => snapshotsOfTask(use.store, 'me'))).toBeLessThan(FEW);
});

test('finds, stores, leases and releases a login without reading the other seeds', async () => {
  const add = () => insertSeed(use.store, { authJson: auth('one'), pool: 'own' });
  expect(await sentFor(add)).toBeLessThan(FEW);
  expect(await sentFor(() => add().catch(() => undefined))).toBeLessThan(FEW);
  const use1 = async () => {
    const acquired = await acquireSeed(use.store, { pool: 'own' }, 'me/r/s', MINUTE);
    if (acquired.kind === 'leased') await releaseLease(use.store, acquired.lease);
  };
  expect(await sentFor(use1)).toBeLessThan(FEW);
});
