import type { Document, FindOneAndUpdateOptions } from 'mongodb';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acquireSeed, type AcquireResult } from '../../src/store/acquire-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { releaseLease, renewLease } from '../../src/store/leases.js';
import { type Store } from '../../src/store/mongo.js';
import { insertSeed } from '../../src/store/seeds.js';
import { acquireInTurn, waitersOfTask } from '../../src/store/waiters.js';
import { auth, lease, meanwhile, MINUTE, replacing, seedOf, useStore } from './support.js';
import { openStore } from '../../src/store/open-store.js';

const use = useStore();
const POOL = { pool: 'main' };
const TASK = { taskId: 't', runId: 'r', assignmentId: 's' };
const HOLDER = 't/r/s';

/** Another worker's connection to the same database. */
let other: Store;
beforeEach(async () => {
  other = await openStore({ uri: use.uri, prefix: use.store.prefix });
});
afterEach(() => other.close());

let made = 0;
const newSeed = () => insertSeed(use.store, { authJson: auth(`t${++made}`), pool: 'main' });

/** An attempt of a step; `at` orders them all. */
const attempt = (at: number, step = 'step') => ({ step, at: new Date(1_700_000_000_000 + at) });

const acquire = (store: Store, at: number, step?: string, holder = HOLDER) =>
  acquireSeed(store, POOL, holder, MINUTE, attempt(at, step));

function leaseIn(result: AcquireResult) {
  expect(result).toMatchObject({ kind: 'leased' });
  return (result as Extract<AcquireResult, { kind: 'leased' }>).lease;
}

const heldBy = async (holder: string) =>
  (await seedsOf(use.store).find({ 'lease.holder': holder }).toArray()).map(({ _id, leaseEpoch }) => ({
    seedId: _id.toHexString(),
    holder,
    leaseEpoch,
  }));

/** The store of a worker that is frozen before its `turn`th look for a seed, until `act` is over. */
function frozen(store: Store, turn: number, act: () => Promise<unknown>): Store {
  let looks = 0;
  const collection = (name: string) => {
    const target = store.db.collection(name);
    const findOneAndUpdate = async (filter: Document, update: Document, options: FindOneAndUpdateOptions) => {
      if (++looks === turn) await act();
      return target.findOneAndUpdate(filter, update, options);
    };
    return replacing(target, { findOneAndUpdate });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

test('a later attempt gets the seed again, and its lease is the stored one', async () => {
  const seedId = await newSeed();
  await newSeed();
  const first = leaseIn(await acquire(use.store, 1));
  const second = leaseIn(await acquire(other, 2));
  expect([first.seedId, second.seedId]).toEqual([seedId, seedId]);
  expect(await heldBy(HOLDER)).toEqual([second]);
});

// Its first look is for a seed that it holds, its second one for a free one.
test.each([
  ['before it looks at its own seed', 1],
  ['before it takes a free seed', 2],
])(
  'an attempt of a frozen worker that continues %s does not take the later one’s lease',
  async (_when, turn) => {
    await newSeed();
    await newSeed();
    let later: AcquireResult | null = null;
    const frozenStore = frozen(use.store, turn, async () => (later = await acquire(other, 2)));
    await expect(acquire(frozenStore, 1)).rejects.toMatchObject({ code: 'Unavailable' });
    const held = leaseIn(later!);
    expect(await heldBy(HOLDER)).toEqual([held]);
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
  },
);

test('a later attempt that took another seed releases the one of the earlier attempt', async () => {
  const ids = [await newSeed(), await newSeed()];
  const late = frozen(other, 2, () => acquire(use.store, 1));
  const held = leaseIn(await acquire(late, 2));
  expect(await heldBy(HOLDER)).toEqual([held]);
  expect(ids).toContain(held.seedId);
});

test('a later attempt gets the only seed while the earlier one takes it', async () => {
  const seedId = await newSeed();
  const late = frozen(other, 2, () => acquire(use.store, 1));
  expect(leaseIn(await acquire(late, 2))).toEqual({ seedId, holder: HOLDER, leaseEpoch: 2 });
});

test('an attempt that continues after its task released the seed takes none', async () => {
  await newSeed();
  const frozenStore = frozen(use.store, 2, async () => {
    await releaseLease(other, leaseIn(await acquire(other, 2)));
  });
  await expect(acquire(frozenStore, 1)).rejects.toMatchObject({ code: 'Unavailable' });
  expect(await heldBy(HOLDER)).toEqual([]);
});

test('the seed of an earlier activity stays leased until its end', async () => {
  const used = await insertSeed(use.store, { authJson: auth('u'), pool: 'before' });
  await acquireSeed(use.store, { pool: 'before' }, HOLDER, MINUTE, attempt(1, 'before'));
  const seedId = await newSeed();
  await acquire(other, 2);
  expect((await heldBy(HOLDER)).map((each) => each.seedId)).toEqual([used, seedId]);
});

test('a late request of another holder keeps no task from a free seed', async () => {
  await newSeed();
  await releaseLease(use.store, leaseIn(await acquire(use.store, 9, 'theirs', 'somebody/else')));
  leaseIn(await acquire(other, 1));
});

test('three concurrent attempts of 20 tasks leave each the seed of its last attempt', async () => {
  for (let index = 0; index < 60; index++) await newSeed();
  const tasks = Array.from({ length: 20 }, (_, index) => `task-${index}/r`);
  await Promise.all(
    tasks.map(async (holder, index) => {
      const ask = (at: number) => acquire((at + index) % 2 ? use.store : other, at, 'step', holder);
      const [, , last] = await Promise.allSettled([ask(1), ask(2), ask(3)]);
      expect(last).toMatchObject({ status: 'fulfilled', value: { kind: 'leased' } });
      const { value } = last as PromiseFulfilledResult<AcquireResult>;
      expect(await heldBy(holder)).toEqual([leaseIn(value)]);
    }),
  );
});

test('a task with a seed does not wait after an earlier attempt found none', async () => {
  const seedId = await newSeed();
  const holding = await lease(use.store, { seedId }, 'holder');
  // Its second question for the time is the one with which it enters the line.
  const late = meanwhile(use.store, 2, async () => {
    await releaseLease(other, holding);
    expect(await acquireInTurn(other, POOL, TASK, MINUTE, attempt(2))).toMatchObject({ kind: 'leased' });
  });
  await expect(acquireInTurn(late, POOL, TASK, MINUTE, attempt(1))).rejects.toMatchObject({
    code: 'Unavailable',
  });
  expect(await waitersOfTask(use.store, 't')).toEqual([]);
  expect((await seedOf(use.store, seedId)).lease?.holder).toBe(HOLDER);
});

test('an attempt that leases ends the wait of its task, whichever attempt began it', async () => {
  const seedId = await newSeed();
  const holding = await lease(use.store, { seedId }, 'holder');
  const late = frozen(other, 1, async () => {
    expect(await acquireInTurn(use.store, POOL, TASK, MINUTE, attempt(1))).toEqual({ kind: 'busy' });
    await releaseLease(use.store, holding);
  });
  expect(await acquireInTurn(late, POOL, TASK, MINUTE, attempt(2))).toMatchObject({ kind: 'leased' });
  expect(await waitersOfTask(use.store, 't')).toEqual([]);
});
