import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import type { HostContext } from '../../src/session/host-context.js';
import { storeKeeper } from '../../src/session/keep-store.js';
import { insertSeed } from '../../src/store/seeds.js';
import { renewLease } from '../../src/store/leases.js';
import type { TaskRef } from '../../src/step-arguments.js';
import { auth, lease, MINUTE, seedOf, useStore } from '../store/support.js';

const use = useStore();
const RUN = '11111111-2222-4333-8444-555555555555';
const never = new AbortController().signal;

function keeper(isRunning: (ref: TaskRef) => Promise<boolean>, signal = never) {
  const host = { store: use.store, log: pino({ enabled: false }), isRunning } as unknown as HostContext;
  return storeKeeper(host, signal);
}
const ended = () => Promise.resolve(false);

/** A seed whose lease ran out so long ago. */
async function expired(holder: string, agoMs: number): Promise<string> {
  const seedId = await insertSeed(use.store, { authJson: auth(holder), pool: holder });
  await lease(use.store, { seedId }, holder, -agoMs);
  return seedId;
}

const holderOf = async (seedId: string) => (await seedOf(use.store, seedId)).lease?.holder ?? null;

test('the lease of an ended task is cleared a minute after its end, that of a running one never', async () => {
  const seeds = {
    ended: await expired(`ended/${RUN}`, 2 * MINUTE),
    justNow: await expired(`just-now/${RUN}`, MINUTE / 2),
    running: await expired(`running/${RUN}`, 60 * MINUTE),
    held: await expired(`held/${RUN}`, -MINUTE),
  };
  const asked: TaskRef[] = [];
  await keeper((ref) => {
    asked.push(ref);
    return Promise.resolve(ref.taskId === 'running');
  })();
  expect(asked.sort((a, b) => (a.taskId < b.taskId ? -1 : 1))).toEqual([
    { taskId: 'ended', runId: RUN },
    { taskId: 'running', runId: RUN },
  ]);
  expect(await holderOf(seeds.ended)).toBeNull();
  expect(await holderOf(seeds.justNow)).toBe(`just-now/${RUN}`);
  expect(await holderOf(seeds.running)).toBe(`running/${RUN}`);
  expect(await holderOf(seeds.held)).toBe(`held/${RUN}`);
});

test('a holder that no workflow tells about has ten minutes', async () => {
  const recent = await expired('python-process', 9 * MINUTE);
  const long = await expired('another-process', 11 * MINUTE);
  await keeper(() => Promise.reject(new Error('asked for no task')))();
  expect(await holderOf(recent)).toBe('python-process');
  expect(await holderOf(long)).toBeNull();
});

test('a holder that comes back while its task is looked up keeps its lease', async () => {
  const seedId = await insertSeed(use.store, { authJson: auth('t'), pool: 'p' });
  const held = await lease(use.store, { seedId }, `back/${RUN}`, -2 * MINUTE);
  await keeper(async () => {
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
    return false;
  })();
  expect(await holderOf(seedId)).toBe(`back/${RUN}`);
});

test('a task of which nobody says whether it runs keeps its lease, until somebody does', async () => {
  const seedId = await expired(`t/${RUN}`, 2 * MINUTE);
  let isReachable = false;
  const keep = keeper(() => (isReachable ? Promise.resolve(false) : Promise.reject(new Error('no answer'))));
  await keep();
  expect(await holderOf(seedId)).toBe(`t/${RUN}`);
  isReachable = true;
  await keep();
  expect(await holderOf(seedId)).toBeNull();
});

test('one task that nobody can tell of keeps no other lease, and no orphaned blob, from being cleared', async () => {
  const holders = ['a', 'b', 'c', 'd'].map((taskId) => `${taskId}/${RUN}`);
  const seeds = [];
  for (const holder of holders) seeds.push(await expired(holder, 2 * MINUTE));
  const collects = vi.spyOn(use.store.db, 'collection');
  let fails = 'b';
  const keep = keeper(({ taskId }) =>
    taskId === fails ? Promise.reject(new Error('no answer')) : Promise.resolve(false),
  );
  await keep();
  expect(collects.mock.calls.flat()).toContain('fs.files');
  collects.mockRestore();
  expect(await Promise.all(seeds.map(holderOf))).toEqual([null, holders[1], null, null]);
  fails = '';
  await keep();
  expect(await Promise.all(seeds.map(holderOf))).toEqual([null, null, null, null]);
});

test('nothing is done after an abort', async () => {
  const seedId = await expired(`t/${RUN}`, 2 * MINUTE);
  await keeper(ended, AbortSignal.abort())();
  expect(await holderOf(seedId)).toBe(`t/${RUN}`);
});
