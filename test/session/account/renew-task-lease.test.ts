import { mkdir } from 'node:fs/promises';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { readDeadline, uptimeSeconds } from '../../../src/process/deadline.js';
import {
  DETACHED_MS,
  renewTaskLease,
  type LeaseAnswer,
} from '../../../src/session/account/renew-task-lease.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { taskFolder } from '../../../src/task-folder/task-folder.js';
import type { Lease } from '../../../src/store/leases.js';
import type { Store } from '../../../src/store/mongo.js';
import { insertSeed } from '../../../src/store/seeds.js';
import { elapse } from '../../support/elapse.js';
import { testFolder } from '../../support/folders.js';
import { auth, lease, meanwhile, seedOf, useStore } from '../../store/support.js';

const use = useStore();
const TTL_MS = 60_000;
/** What is left of a lease at the deadline is for the stop. Seconds. */
const UNTIL_STOP = 50;

/** A task that holds a seed, on a host that sees the database through `store`. */
async function leasedTask() {
  const dataDir = await testFolder();
  const { root } = taskFolder(dataDir, 't1');
  const seedId = await insertSeed(use.store, { authJson: auth('t'), pool: 'main' });
  const held = await lease(use.store, { seedId }, 't1/r1', 1_000);
  const tasks = new HostTasks(1);
  const log = pino({ enabled: false });
  const renew = (store: Store = use.store, which: Lease = held) =>
    renewTaskLease({ config: { dataDir }, log, tasks, store, leaseTtlMs: TTL_MS }, 't1', which);
  const leftMs = async () => (await seedOf(use.store, seedId)).lease!.expiresAt.getTime() - Date.now();
  return { root, tasks, held, renew, leftMs };
}

test('a renewal moves the deadline, counted from before the request', async () => {
  const { root, renew, leftMs } = await leasedTask();
  await mkdir(root, { recursive: true });
  let askedBy = Infinity;
  const slow = meanwhile(use.store, 1, async () => {
    askedBy = uptimeSeconds();
    await elapse(200);
  });
  const before = uptimeSeconds();
  expect(await renew(slow)).toBe('ours');
  expect(await readDeadline(root)).toBeGreaterThanOrEqual(before + UNTIL_STOP);
  expect(await readDeadline(root)).toBeLessThanOrEqual(askedBy + UNTIL_STOP);
  expect(await leftMs()).toBeGreaterThan(TTL_MS / 2);
});

test('a lost seed and a silent database are told apart and move no deadline', async () => {
  const { root, held, renew } = await leasedTask();
  await mkdir(root, { recursive: true });
  expect(await renew(use.store, { ...held, leaseEpoch: held.leaseEpoch + 1 })).toBe('taken');
  const away = meanwhile(use.store, 1, () => Promise.reject(new Error('no answer')));
  expect(await renew(away)).toBe('unknown');
  expect(await readDeadline(root)).toBeNull();
});

test('a lease is renewed before its task has a folder', async () => {
  const { renew, leftMs } = await leasedTask();
  expect(await renew()).toBe('ours');
  expect(await leftMs()).toBeGreaterThan(TTL_MS / 2);
});

test('after the worker detaches, a renewal lasts until the next, even a late one', async () => {
  const { root, tasks, renew, leftMs } = await leasedTask();
  await mkdir(root, { recursive: true });
  const longer: Promise<LeaseAnswer>[] = [];
  const late = meanwhile(use.store, 1, async () => {
    tasks.detach();
    longer.push(renew());
    // It waits for this one, which must not be the last to come.
    await Promise.race([...longer, elapse(300)]);
  });
  expect(await renew(late)).toBe('ours');
  expect(await Promise.all(longer)).toEqual(['ours']);
  expect(await leftMs()).toBeGreaterThan(DETACHED_MS / 2);
  expect((await readDeadline(root))! - uptimeSeconds()).toBeGreaterThan(DETACHED_MS / 2_000);
});
