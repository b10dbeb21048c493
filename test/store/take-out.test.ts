import { describe, expect, test } from 'vitest';
import { markSeed } from '../../src/store/assign-seed.js';
import { seedsOf } from '../../src/store/collections.js';
import { releaseLease, type Lease } from '../../src/store/leases.js';
import type { Store } from '../../src/store/mongo.js';
import { quarantineAuth } from '../../src/store/quarantine.js';
import { deleteSeed } from '../../src/store/remove-seed.js';
import { restoreQuarantined } from '../../src/store/restore.js';
import { restoreCleared } from '../../src/store/retake-lease.js';
import { fingerprint } from '../../src/store/seed-archive.js';
import { insertSeed, listSeeds, saveBack } from '../../src/store/seeds.js';
import { dismissQuarantined, settleSeed } from '../../src/store/settle-quarantine.js';
import { auth, beforeChange, foreignRefresh, lease, MINUTE, replacing, useStore } from './support.js';
import { loginsIn, named } from './logins-support.js';

const use = useStore();
const { foreignSeed, leasable } = loginsIn(use);
const POOL = { pool: 'p' };
const TASK = { taskId: 't' };

test('a forced addition replaces the old seed, which is held from then on', async () => {
  const first = await insertSeed(use.store, { authJson: auth('same'), ...POOL });
  const second = await insertSeed(use.store, { authJson: auth('same'), ...POOL, force: true });
  expect(await listSeeds(use.store, 'p')).toMatchObject([
    { seedId: first, state: 'duplicate', why: expect.stringContaining(second) as string },
    { seedId: second, state: 'free' },
  ]);
  expect(await leasable()).toBe(1);
  await expect(markSeed(use.store, first, 'alive')).rejects.toMatchObject(named(first));
});

test.each<[string, (authJson: Buffer) => Promise<unknown>, number]>([
  ['added', (authJson) => insertSeed(use.store, { authJson, ...POOL }), 0],
  ['stored by a client that writes no hash', (authJson) => foreignSeed(authJson), 1],
])('%s, no token of a login is stored next to an older one taken by force', async (_, add, isStored) => {
  const first = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
  const held = await lease(use.store, POOL, 't/r');
  for (const token of ['2', '3']) await saveBack(use.store, held, auth(token), TASK);
  await releaseLease(use.store, held);
  const second = await insertSeed(use.store, { authJson: auth('1'), ...POOL, force: true });
  for (const token of ['2', '3']) {
    if (isStored === 1) await add(auth(token));
    else await expect(add(auth(token))).rejects.toMatchObject(named(second));
  }
  expect(await leasable()).toBe(1);
  await deleteSeed(use.store, second, { force: true });
  await insertSeed(use.store, { authJson: auth('3'), ...POOL, force: isStored === 1 });
  await expect(insertSeed(use.store, { authJson: auth('1'), ...POOL })).rejects.toThrow(/another token/);
  expect((await listSeeds(use.store, 'p')).find(({ seedId }) => seedId === first)).toMatchObject({
    state: 'duplicate',
  });
  expect(await leasable()).toBe(1);
});

describe('a copy with an earlier token, first leased during the forced addition', () => {
  /** The copy claims its login after the other seed went out, and before the new one of it is stored. */
  const taking = async (after: (held: Lease) => Promise<unknown>) => {
    const first = await insertSeed(use.store, { authJson: auth('1') });
    const copy = await foreignSeed(auth('1'));
    const held = await lease(use.store, { seedId: first }, 't/r');
    await saveBack(use.store, held, auth('2'), TASK);
    await releaseLease(use.store, held);
    const [isOut, isLeased] = [later(), later()];
    const forcing = beforeChange(use.store, 'insertOne', () => {
      isOut.come();
      return isLeased.came;
    });
    let added = Promise.resolve('');
    const slow = beforeChange(use.store, 'updateOne', () => {
      added = insertSeed(forcing, { authJson: auth('2'), ...POOL, force: true });
      return isOut.came;
    });
    await after(await lease(slow, { seedId: copy }, 'u/r'));
    isLeased.come();
    return { copy, added };
  };

  test('is out of use once the new seed is stored', async () => {
    const { copy, added } = await taking((held) => releaseLease(use.store, held));
    const seedId = await added;
    expect((await listSeeds(use.store, 'p')).map((each) => [each.seedId, each.state])).toEqual([
      [copy, 'duplicate'],
      [seedId, 'free'],
    ]);
  });

  test('stays with its new holder, and the addition is refused', async () => {
    const { copy, added } = await taking(async () => undefined);
    await expect(added).rejects.toMatchObject(named(copy));
    expect((await listSeeds(use.store, 'p')).map(({ seedId }) => seedId)).toEqual([copy]);
  });
});

test('a refresh by another client during an addition is noticed', async () => {
  const first = await insertSeed(use.store, { authJson: auth('1') });
  await foreignRefresh(use.store, first, auth('2'));
  const noting = async () => releaseLease(use.store, await lease(use.store, { seedId: first }, 't/r'));
  const slow = beforeChange(use.store, 'updateOne', noting);
  const second = await insertSeed(slow, { authJson: auth('1'), ...POOL, force: true });
  await expect(insertSeed(use.store, { authJson: auth('2'), ...POOL })).rejects.toMatchObject(named(second));
});

test('a forced addition takes no seed from a task that uses it', async () => {
  const first = await insertSeed(use.store, { authJson: auth('same'), ...POOL });
  await lease(use.store, POOL, 't/r');
  const forced = insertSeed(use.store, { authJson: auth('same'), ...POOL, force: true });
  await expect(forced).rejects.toMatchObject(named(first));
  expect(await seedsOf(use.store).countDocuments({})).toBe(1);
});

test('an expired holder does not save back: its login is in the new seed', async () => {
  const first = await insertSeed(use.store, { authJson: auth('same'), ...POOL });
  const mine = await lease(use.store, { seedId: first }, 't/r', -1);
  await insertSeed(use.store, { authJson: auth('same'), ...POOL, force: true });
  const saved = fingerprint(auth('same'));
  expect(await restoreCleared(use.store, mine, saved, MINUTE)).toBe(false);
  expect(await saveBack(use.store, mine, auth('next'), TASK)).toMatchObject({ kind: 'quarantined' });
});

function later(): { came: Promise<void>; come: () => void } {
  let come = (): void => undefined;
  const came = new Promise<void>((resolve) => (come = resolve));
  return { came, come };
}

describe('a forced addition while another of the login records what it stored', () => {
  const forced = (store = use.store) => insertSeed(store, { authJson: auth('same'), ...POOL, force: true });

  test.each([1, 2])('takes its place, even before change %i of the other', async (turn) => {
    let second = '';
    const act = async () => void (second = await forced());
    const slow = beforeChange(use.store, 'updateOne', act, turn);
    const first = await insertSeed(slow, { authJson: auth('same'), ...POOL });
    expect(await listSeeds(use.store, 'p')).toMatchObject([
      { seedId: first, state: 'duplicate', why: expect.stringContaining(second) as string },
      { seedId: second, state: 'free' },
    ]);
    expect(await leasable()).toBe(1);
  });

  test.each([1, 2])('is not refused for the seed it took out, before change %i of that one', async (turn) => {
    const [isOut, isNoted] = [later(), later()];
    // It has taken the other one out when that one goes on, and is stored after it.
    const forcing = beforeChange(use.store, 'insertOne', () => {
      isOut.come();
      return isNoted.came;
    });
    let second = Promise.resolve('');
    const slow = beforeChange(
      use.store,
      'updateOne',
      () => {
        second = forced(forcing);
        return isOut.came;
      },
      turn,
    );
    await insertSeed(slow, { authJson: auth('same'), ...POOL });
    isNoted.come();
    expect((await lease(use.store, POOL, 't/r')).seedId).toBe(await second);
  });
});

test('a crash of a forced addition leaves one seed to lease, and a retry completes it', async () => {
  await insertSeed(use.store, { authJson: auth('same'), ...POOL });
  const collection = (name: string) => {
    const target = use.store.db.collection(name);
    const insertOne = () => Promise.reject(new Error('killed here'));
    return name.endsWith('_codex_seeds') ? replacing(target, { insertOne }) : target;
  };
  const crashing: Store = { ...use.store, db: replacing(use.store.db, { collection }) };
  const add = (store: Store) => insertSeed(store, { authJson: auth('same'), ...POOL, force: true });
  await expect(add(crashing)).rejects.toThrow('killed here');
  await add(use.store);
  expect(await leasable()).toBe(1);
});

test('a quarantine record does not revive a seed that was replaced', async () => {
  const first = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
  const gone = { seedId: first, holder: 'gone/r', leaseEpoch: 0 };
  const second = await insertSeed(use.store, { authJson: auth('1'), ...POOL, force: true });
  const context = { taskId: 'gone', reason: 'lost' };
  const quarantineId = await quarantineAuth(use.store, gone, auth('2'), context);
  expect(await settleSeed(use.store, first)).toBe('held');
  await expect(restoreQuarantined(use.store, quarantineId, { force: true })).rejects.toMatchObject(
    named(second),
  );
  expect(await dismissQuarantined(use.store, quarantineId)).toBe(true);
  expect(await leasable()).toBe(1);
});

test('a quarantine record revives the seed once the other is deleted', async () => {
  const first = await insertSeed(use.store, { authJson: auth('1'), ...POOL });
  const gone = { seedId: first, holder: 'gone/r', leaseEpoch: 0 };
  const second = await insertSeed(use.store, { authJson: auth('1'), ...POOL, force: true });
  const context = { taskId: 'gone', reason: 'lost' };
  const quarantineId = await quarantineAuth(use.store, gone, auth('2'), context);
  await deleteSeed(use.store, second);
  expect(await restoreQuarantined(use.store, quarantineId, { force: true })).toMatchObject({
    kind: 'restored',
  });
  expect((await lease(use.store, POOL, 't/r')).seedId).toBe(first);
});
