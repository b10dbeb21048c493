import { describe, expect, test } from 'vitest';
import { collectOrphans } from '../../src/store/collect.js';
import type { Store } from '../../src/store/mongo.js';
import { deleteQuarantined, quarantineAuth, readQuarantined } from '../../src/store/quarantine.js';
import { rekeyAll } from '../../src/store/rekey.js';
import { deleteSeed, purgeSeed } from '../../src/store/remove-seed.js';
import { insertSeed, readSeed, saveBack } from '../../src/store/seeds.js';
import { KEYS } from './model/backends.js';
import { auth, blobsOf, lease, meanwhile, MINUTE, replacing, useStore } from './support.js';

const use = useStore();

/** Whatever nothing names counts as old, as to a host whose clock is ahead of that of the one that stored it. */
const collect = (store = use.store) => collectOrphans(store, { graceMs: -MINUTE });
const add = (token: string, store = use.store) => insertSeed(store, { authJson: auth(token), pool: 'p' });
const tokenIn = async (seedId: string) => (await readSeed(use.store, seedId))?.authJson;

describe('a blob collected after its upload and before its document', () => {
  // The time is asked for between the two.
  const collecting = () => meanwhile(use.store, 1, () => collect());

  test('is stored again by a save, and the seed names the new one', async () => {
    const seedId = await add('first');
    const held = await lease(use.store, { seedId }, 'task/run');
    const context = { taskId: 'task' };
    expect(await saveBack(collecting(), held, auth('second'), context)).toMatchObject({ kind: 'saved' });
    expect(await tokenIn(seedId)).toEqual(auth('second'));
  });

  test('is stored again for a new seed', async () => {
    expect(await tokenIn(await add('first', collecting()))).toEqual(auth('first'));
  });

  test('is stored again for a quarantine record whose seed is gone', async () => {
    const of = { seedId: 'a'.repeat(24), holder: 'task/run', leaseEpoch: 1 };
    const context = { taskId: 'task', reason: 'the seed is gone' };
    const id = await quarantineAuth(collecting(), of, auth('first'), context);
    expect(await readQuarantined(use.store, id)).toEqual(auth('first'));
  });

  test('is stored again by a change of keys', async () => {
    const seedId = await add('first');
    const of = { seedId: 'a'.repeat(24), holder: 'task/run', leaseEpoch: 1 };
    const id = await quarantineAuth(use.store, of, auth('second'), { taskId: 'task', reason: 'r' });
    const keyed = { ...use.store, seedKeys: { writes: KEYS.a, reads: [KEYS.a] } };
    const outcomes = [];
    for await (const each of rekeyAll(before(keyed, 'updateOne', () => collect(keyed))))
      outcomes.push(each.outcome);
    expect(outcomes).toEqual(['rewritten', 'rewritten']);
    expect((await readSeed(keyed, seedId))?.authJson).toEqual(auth('first'));
    expect(await readQuarantined(keyed, id)).toEqual(auth('second'));
  });
});

test('a seed deleted during a collection keeps its blobs for a day', async () => {
  const seedId = await add('first');
  // It has seen the blob, and asks for its names only after the seed is gone.
  const store = before(use.store, 'find', () => deleteSeed(use.store, seedId));
  expect(await collectOrphans(store, { graceMs: 0 })).toEqual({ deleted: 0, rescued: [] });
  expect(await blobsOf(use.store)).toHaveLength(1);
});

describe('the credential of a save that died after its seed was deleted', () => {
  const context = { taskId: 'task' };
  const heldSeed = async () => {
    const seedId = await add('first');
    return { seedId, held: await lease(use.store, { seedId }, 'task/run') };
  };
  const drop = (seedId: string) => deleteSeed(use.store, seedId, { force: true });

  test.each<[string, 'updateOne' | 'insertOne', RegExp]>([
    ['its seed named it', 'updateOne', /_codex_seeds$/],
    ['a record named it', 'insertOne', /_codex_quarantine$/],
  ])('goes to quarantine when the save died before %s', async (_, method, of) => {
    const { seedId, held } = await heldSeed();
    if (method === 'insertOne') await drop(seedId);
    const dying = killedAt(use.store, method, of, () => drop(seedId));
    await expect(saveBack(dying, held, auth('second'), context)).rejects.toThrow('killed here');
    // The blob of the seed goes, and the one that nobody named.
    const { deleted, rescued } = await collect();
    expect([deleted, rescued.length]).toEqual([2, 1]);
    expect(await readQuarantined(use.store, rescued[0]!)).toEqual(auth('second'));
    expect(await collect()).toEqual({ deleted: 0, rescued: [] });
  });

  test('leaves no further record when the task, or a restore, has saved it since', async () => {
    const { seedId, held } = await heldSeed();
    await drop(seedId);
    const dying = () => killedAt(use.store, 'insertOne', /_codex_quarantine$/);
    await expect(saveBack(dying(), held, auth('second'), context)).rejects.toThrow('killed here');
    const kept = await saveBack(use.store, held, auth('second'), context);
    expect(await collect()).toEqual({ deleted: 2, rescued: [] });
    await expect(saveBack(dying(), held, auth('third'), context)).rejects.toThrow('killed here');
    await insertSeed(use.store, { authJson: auth('third'), pool: 'p' });
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
    expect(kept).toMatchObject({ kind: 'quarantined' });
  });

  test('stays as it is when it cannot be read', async () => {
    const { seedId, held } = await heldSeed();
    await drop(seedId);
    const keyed = { ...use.store, seedKeys: { writes: KEYS.a, reads: [KEYS.a] } };
    const dying = killedAt(keyed, 'insertOne', /_codex_quarantine$/);
    await expect(saveBack(dying, held, auth('second'), context)).rejects.toThrow('killed here');
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
    expect((await collect(keyed)).rescued).toHaveLength(1);
  });
});

describe('a credential that a person removed', () => {
  test('is not kept after a crash of a purge, once its seed is gone', async () => {
    const seedId = await add('first');
    const held = await lease(use.store, { seedId }, 'task/run');
    await saveBack(use.store, held, auth('second'), { taskId: 'task' });
    const dying = killedAt(use.store, 'findOneAndDelete', /_codex_seeds$/);
    await expect(purgeSeed(dying, seedId, { force: true })).rejects.toThrow('killed here');
    await use.store.db.collection(`${use.store.prefix}_codex_seeds`).deleteMany({});
    expect(await collectOrphans(use.store, { graceMs: -MINUTE })).toEqual({ deleted: 2, rescued: [] });
  });

  test.each([true, false])('is not kept after a crash of a drop (its seed exists: %s)', async (isThere) => {
    const seedId = await add('first');
    const of = { seedId, holder: 'task/run', leaseEpoch: 0 };
    const id = await quarantineAuth(use.store, of, auth('second'), { taskId: 'task', reason: 'r' });
    if (!isThere) await deleteSeed(use.store, seedId);
    await collect();
    const dying = killedAt(use.store, 'findOneAndDelete', /_codex_quarantine$/, () =>
      use.store.db.collection(`${use.store.prefix}_codex_quarantine`).deleteMany({}),
    );
    await expect(deleteQuarantined(dying, id)).rejects.toThrow('killed here');
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
  });

  test('is not kept after a crash of an addition that stored no seed', async () => {
    const dying = killedAt(use.store, 'insertOne', /_codex_seeds$/);
    await expect(add('first', dying)).rejects.toThrow('killed here');
    expect(await collect()).toEqual({ deleted: 1, rescued: [] });
  });
});

/** The store of a process that ends before its first call of this method on such a collection, after `act`. */
function killedAt(
  store: Store,
  method: 'updateOne' | 'insertOne' | 'findOneAndDelete',
  of: RegExp,
  act: () => Promise<unknown> = async () => undefined,
): Store {
  const killed = async () => {
    await act();
    throw new Error('killed here');
  };
  const collection = (name: string) => {
    const target = store.db.collection(name);
    return of.test(name) ? replacing(target, { [method]: killed }) : target;
  };
  return { ...store, db: replacing(store.db, { collection }) };
}

/** The store, but before seeds and records are first asked by this method something else happens, once for each. */
function before(store: Store, method: 'find' | 'updateOne', act: () => Promise<unknown>): Store {
  const acted = new Set<string>();
  const happen = async (name: string) => {
    if (acted.has(name)) return;
    acted.add(name);
    await act();
  };
  const collection = (name: string) => {
    const target = store.db.collection(name);
    if (!/_codex_(seeds|quarantine)$/.test(name)) return target;
    const updateOne: typeof target.updateOne = async (...args) => {
      await happen(name);
      return target.updateOne(...args);
    };
    const find = (...args: Parameters<typeof target.find>) => ({
      async *[Symbol.asyncIterator]() {
        await happen(name);
        yield* target.find(...args);
      },
    });
    return replacing(target, method === 'find' ? { find } : { updateOne });
  };
  return { ...store, db: replacing(store.db, { collection }) };
}
