import { describe, expect, test } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { judgedBy, noteClock } from '../../src/store/lease-clock.js';
import { listExpired, releaseLease, renewLease } from '../../src/store/leases.js';
import { databaseNow, type Store } from '../../src/store/mongo.js';
import { listQuarantine } from '../../src/store/quarantine.js';
import { leaseForVerification } from '../../src/store/seed-verification.js';
import { insertSeed, saveBack } from '../../src/store/seeds.js';
import { startFailingOver } from '../support/failing-over.js';
import { auth, lease, MINUTE } from './support.js';
import { openStore } from '../../src/store/open-store.js';

const OFF = [10_000, 10 * MINUTE, -10_000, -10 * MINUTE];

/** Two workers on one replica set, one of which holds a seed. */
async function twoWorkers() {
  const set = await startFailingOver();
  const open = async () => openStore({ uri: set.uri(), prefix: 'clock' });
  const [first, second] = [await open(), await open()];
  const seedId = await insertSeed(first, { authJson: auth('one'), pool: 'p' });
  const held = await lease(first, { seedId }, 'first/r');
  await databaseNow(second);
  const close = async (...more: Store[]) => {
    for (const store of [first, second, ...more]) await store.close();
  };
  return { set, open, first, second, seedId, held, close };
}

describe('a new primary with another clock', () => {
  test.each(OFF)(
    'keeps a lease with its holder, which renews by the new clock, at %i ms off',
    async (offMs) => {
      const { set, first, second, seedId, held, close } = await twoWorkers();
      set.setClock(offMs);
      expect(await acquireSeed(second, { pool: 'p' }, 'second/r', MINUTE)).toEqual({ kind: 'busy' });
      expect(await leaseForVerification(second, seedId, 'verify', MINUTE)).toMatchObject({ kind: 'in-use' });
      expect(await listExpired(second)).toEqual([]);
      expect(await renewLease(first, held, MINUTE)).toBe(true);
      expect(await acquireSeed(second, { pool: 'p' }, 'second/r', MINUTE)).toEqual({ kind: 'busy' });
      await releaseLease(first, held);
      expect(await acquireSeed(second, { pool: 'p' }, 'second/r', MINUTE)).toMatchObject({ kind: 'leased' });
      await close();
    },
  );

  test('frees what had run out by the old clock', async () => {
    const { set, first, second, held, close } = await twoWorkers();
    await renewLease(first, held, -1);
    set.setClock(10 * MINUTE);
    expect(await acquireSeed(second, { pool: 'p' }, 'second/r', MINUTE)).toMatchObject({ kind: 'leased' });
    await close();
  });

  test('is unnoticed by a later worker, and the first holder loses no token', async () => {
    const { set, open, first, seedId, held, close } = await twoWorkers();
    set.setClock(10 * MINUTE);
    const third = await open();
    expect(await acquireSeed(third, { pool: 'p' }, 'third/r', MINUTE)).toMatchObject({ kind: 'leased' });
    expect(await renewLease(first, held, MINUTE)).toBe(false);
    expect(await saveBack(first, held, auth('two'), { taskId: 'first' })).toMatchObject({
      kind: 'quarantined',
    });
    expect(await listQuarantine(first, seedId)).toHaveLength(1);
    await close(third);
  });
});

test('that jumped ahead counts as before for eleven minutes, and at once when back', () => {
  const client = {};
  const at = (seconds: number) => new Date(seconds * 1_000);
  noteClock(client, at(1_000), 10, 10.1);
  expect(judgedBy(client, at(1_000), 10)).toEqual(at(1_000));
  noteClock(client, at(1_610), 20, 20);
  expect(judgedBy(client, at(1_610), 20).getTime()).toBeCloseTo(at(1_010).getTime(), -3);
  expect(judgedBy(client, at(1_610 + 700), 20 + 700)).toEqual(at(2_310));
  noteClock(client, at(1_020), 30, 30);
  expect(judgedBy(client, at(1_020), 30)).toEqual(at(1_020));
});

test('a late answer is no jump of the clock', () => {
  const client = {};
  noteClock(client, new Date(1_000_000), 10, 40);
  noteClock(client, new Date(1_035_000), 45, 45);
  noteClock(client, new Date(1_036_000), 46, 76);
  expect(judgedBy(client, new Date(1_066_000), 76)).toEqual(new Date(1_066_000));
});
