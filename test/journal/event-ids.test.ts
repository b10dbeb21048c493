import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventIds } from '../../src/journal/event-ids.js';
import type { Frames } from '../../src/journal/frames.js';
import { type Journal } from '../../src/journal/journal.js';
import { type Store } from '../../src/store/mongo.js';
import { eventMark, reserveEventIds } from '../../src/store/task-state.js';
import { testFolder } from '../support/folders.js';
import { startMongoProxy, type MongoProxy } from '../support/mongo-proxy.js';
import { until } from '../support/until.js';
import { useStore } from '../store/support.js';
import { openStore } from '../../src/store/open-store.js';
import { openJournal } from '../../src/journal/open-journal.js';

const use = useStore();
const REF = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const log = pino({ enabled: false });

/** A host whose way to the database can be cut. */
async function host(): Promise<{ store: Store; way: MongoProxy }> {
  const way = await startMongoProxy(use.uri);
  const store = await openStore({ uri: way.uri, prefix: use.store.prefix, connectTimeoutMs: 5_000 });
  onTestFinished(() => store.close());
  return { store, way };
}

async function journalOn(store: Store, folder: string, assignment = 0, lostUpTo?: number) {
  const journal = await openJournal(folder, {
    ids: eventIds({ store, log }, REF, assignment),
    ...(lostUpTo !== undefined && { lostUpTo }),
  });
  onTestFinished(() => journal.close());
  const told: Frames[] = [];
  journal.follow({ onBatch: (batch) => told.push(batch), onEnd: () => undefined, onCut: () => undefined });
  return { journal, toldUpTo: () => told.at(-1)?.lastId ?? 0 };
}

async function append(journal: Journal, count: number): Promise<void> {
  for (let n = 0; n < count; n++) journal.append(`{"n":${n}}`);
  await journal.flushed();
}

/** Where a host would go on that took the task over now: as `openJournal` does with what the database knows. */
const nextAfterLoss = async () => (Math.floor((await eventMark(use.store, 'r1')) / 10_000) + 1) * 10_000;

describe('ids of events', () => {
  test('are written without the database, but shown only as far as they are reserved', async () => {
    const { store, way } = await host();
    const { journal, toldUpTo } = await journalOn(store, await testFolder());
    await append(journal, 6_500);
    await until('a reservation', async () => (await eventMark(use.store, 'r1')) > 0);
    way.cut();
    await append(journal, 50_000);
    expect(journal.lastId).toBe(56_500);
    expect(journal.shownId).toBe(19_999);
    expect(toldUpTo()).toBe(19_999);
    expect((await journal.read(19_990, 1e6, journal.shownId))?.lastId).toBe(19_999);
    expect(await journal.read(19_999, 1e6, journal.shownId)).toBeNull();
    // Lost now, its next host begins beyond all that anybody saw.
    expect(await nextAfterLoss()).toBe(20_000);
    // Its own worker, killed, comes back and has them all.
    expect((await journal.read(56_490, 1e6))?.lastId).toBe(56_500);
    way.mend();
    await until('the rest', () => toldUpTo() === 56_500);
    expect(await nextAfterLoss()).toBeGreaterThan(56_500);
  });

  test('are shown by a returning worker only once the database has reserved them', async () => {
    const folder = await testFolder();
    const { store, way } = await host();
    const first = await journalOn(store, folder);
    way.cut();
    await append(first.journal, 12_000);
    expect(first.toldUpTo()).toBe(9_999);
    await first.journal.close();
    await expect(journalOn(store, folder)).rejects.toThrow();
    expect(await eventMark(use.store, 'r1')).toBe(0);
    way.mend();
    const again = await journalOn(store, folder);
    expect(again.journal.shownId).toBe(12_000);
    expect(await nextAfterLoss()).toBeGreaterThan(12_000);
  });

  test('end on a host that has lost its task', async () => {
    const { journal, toldUpTo } = await journalOn(use.store, await testFolder());
    await append(journal, 3_000);
    expect(await reserveEventIds(use.store, REF, 1, 0)).toBe(true);
    const other = await journalOn(use.store, await testFolder(), 1, 3_000);
    expect(other.journal.lastId).toBe(10_000);
    await append(journal, 20_000);
    await append(other.journal, 20_000);
    await until('the other host', () => other.toldUpTo() === 30_000);
    expect(toldUpTo()).toBe(9_999);
    await expect(journalOn(use.store, await testFolder(), 0, 3_000)).rejects.toThrow(
      /Another host continues/,
    );
  });
});

test('are reserved as many as the last minute used', async () => {
  const now = 0;
  const ids = eventIds({ store: use.store, log }, REF, 0, () => now);
  onTestFinished(() => ids.close());
  const reserved: number[] = [];
  ids.onGrown(() => reserved.push(ids.upTo));
  ids.reached(1);
  // As many again are still among those that every task has from its start.
  ids.reached(5_000);
  ids.reached(40_000);
  await until('as much again', () => ids.upTo >= 79_999);
  expect(reserved).toEqual([79_999]);
});
