import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HostContext } from '../../../src/session/model/host-context.js';
import { storeKeeper } from '../../../src/session/host/store-janitor.js';
import { insertSeed } from '../../../src/store/seeds.js';
import { listHosts, registerHost, requestEviction } from '../../../src/store/hosts.js';
import { beginAssignment, assignmentsOn } from '../../../src/store/assignments.js';
import { renewLease } from '../../../src/store/leases.js';
import type { TaskRef } from '../../../src/contract/activities.js';
import { auth, lease, MINUTE, seedOf, useStore } from '../../store/support.js';

const use = useStore();
const RUN = '11111111-2222-4333-8444-555555555555';
const STAY = '99999999-8888-4777-8666-555555555555';
const never = new AbortController().signal;

function keeper(
  isRunning: (ref: TaskRef) => Promise<boolean>,
  signal = never,
  hostsInUse: () => Promise<Set<string>> = () => Promise.resolve(new Set()),
) {
  const log = pino({ enabled: false });
  const host = { store: use.store, hostId: 'here', log, isRunning, hostsInUse } as unknown as HostContext;
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

test('the lease of an ended task is cleared after a minute, that of a running one never', async () => {
  const seeds = {
    ended: await expired(`ended/${RUN}/${STAY}`, 2 * MINUTE),
    justNow: await expired(`just-now/${RUN}/${STAY}`, MINUTE / 2),
    running: await expired(`running/${RUN}/${STAY}`, 60 * MINUTE),
    held: await expired(`held/${RUN}/${STAY}`, -MINUTE),
  };
  const asked: TaskRef[] = [];
  await keeper((ref) => {
    asked.push(ref);
    return Promise.resolve(ref.taskId === 'running');
  })();
  expect(asked.sort((a, b) => (a.taskId < b.taskId ? -1 : 1))).toEqual([
    { taskId: 'ended', runId: RUN, assignmentId: STAY },
    { taskId: 'running', runId: RUN, assignmentId: STAY },
  ]);
  expect(await holderOf(seeds.ended)).toBeNull();
  expect(await holderOf(seeds.justNow)).toBe(`just-now/${RUN}/${STAY}`);
  expect(await holderOf(seeds.running)).toBe(`running/${RUN}/${STAY}`);
  expect(await holderOf(seeds.held)).toBe(`held/${RUN}/${STAY}`);
});

test('a holder without a known workflow keeps its lease for ten minutes', async () => {
  const recent = await expired('python-process', 9 * MINUTE);
  const long = await expired('another-process', 11 * MINUTE);
  await keeper(() => Promise.reject(new Error('asked for no task')))();
  expect(await holderOf(recent)).toBe('python-process');
  expect(await holderOf(long)).toBeNull();
});

test('a holder that returns during the look-up of its task keeps its lease', async () => {
  const seedId = await insertSeed(use.store, { authJson: auth('t'), pool: 'p' });
  const held = await lease(use.store, { seedId }, `back/${RUN}/${STAY}`, -2 * MINUTE);
  await keeper(async () => {
    expect(await renewLease(use.store, held, MINUTE)).toBe(true);
    return false;
  })();
  expect(await holderOf(seedId)).toBe(`back/${RUN}/${STAY}`);
});

test('a task of unknown status keeps its lease until the status is known', async () => {
  const seedId = await expired(`t/${RUN}/${STAY}`, 2 * MINUTE);
  let isReachable = false;
  const keep = keeper(() => (isReachable ? Promise.resolve(false) : Promise.reject(new Error('no answer'))));
  await keep();
  expect(await holderOf(seedId)).toBe(`t/${RUN}/${STAY}`);
  isReachable = true;
  await keep();
  expect(await holderOf(seedId)).toBeNull();
});

test('a task of unknown status keeps no other lease and no orphaned blob', async () => {
  const holders = ['a', 'b', 'c', 'd'].map((taskId) => `${taskId}/${RUN}/${STAY}`);
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

describe('the document of a host that does not return', () => {
  const DAY = 24 * 60 * MINUTE;
  const enter = (hostId: string, ttlMs = -DAY) =>
    registerHost(use.store, { hostId, listenerUrl: '', version: '', ttlMs });
  const left = async () => (await listHosts(use.store)).map(({ hostId }) => hostId);

  /** A keeper whose rounds are an hour apart. */
  function hourly(hostsInUse: () => Promise<Set<string>>) {
    const keep = keeper(ended, never, hostsInUse);
    return async () => {
      vi.setSystemTime(Date.now() + 60 * MINUTE);
      await keep();
    };
  }
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => void vi.useRealTimers());

  test('is removed with its evictions when no running task named it at two looks', async () => {
    for (const hostId of ['gone', 'waited for', 'here']) await enter(hostId);
    await requestEviction(use.store, 'gone', { taskId: 'moved long ago', runId: RUN, assignmentId: STAY });
    await enter('away', -DAY + 10 * MINUTE);
    await enter('alive', MINUTE);
    const round = hourly(() => Promise.resolve(new Set(['waited for'])));
    await round();
    expect(await left()).toEqual(['alive', 'away', 'gone', 'here', 'waited for']);
    await round();
    expect(await left()).toEqual(['alive', 'away', 'here', 'waited for']);
  });

  test('leaves no record of where its last tasks were', async () => {
    await enter('gone');
    await enter('alive', MINUTE);
    for (const hostId of ['gone', 'alive', 'removed before'])
      await beginAssignment(use.store, {
        taskId: `task of ${hostId}`,
        runId: RUN,
        assignmentId: STAY,
        hostId,
        ordinal: 0,
      });
    const noted = async () => {
      const all = await Promise.all(
        ['gone', 'alive', 'removed before'].map((hostId) => assignmentsOn(use.store, hostId)),
      );
      return all.flat().map(({ hostId }) => hostId);
    };
    const round = hourly(() => Promise.resolve(new Set()));
    await round();
    expect(await noted()).toEqual(['gone', 'alive']);
    await round();
    expect(await noted()).toEqual(['alive']);
  });

  test('stays for a task that did not name it or was unlisted for a moment', async () => {
    await enter('gone');
    const answers: (() => Promise<Set<string>>)[] = [
      () => Promise.resolve(new Set()),
      () => Promise.reject(new Error('no answer')),
      () => Promise.resolve(new Set()),
      () => Promise.resolve(new Set(['gone'])),
      () => Promise.resolve(new Set()),
    ];
    const round = hourly(() => answers.shift()!());
    while (answers.length > 0) {
      await round();
      expect(await left()).toEqual(['gone']);
    }
  });

  test('stays when its host returns while the tasks are asked', async () => {
    await enter('back');
    const round = hourly(async () => {
      await enter('back', MINUTE);
      return new Set();
    });
    await round();
    await enter('back');
    await round();
    await round();
    expect(await left()).toEqual(['back']);
  });

  test('asks no task where there is no such document', async () => {
    await enter('alive', MINUTE);
    await hourly(() => Promise.reject(new Error('asked')))();
    expect(await left()).toEqual(['alive']);
  });
});

test('the janitor does nothing after an abort', async () => {
  const seedId = await expired(`t/${RUN}/${STAY}`, 2 * MINUTE);
  await keeper(ended, AbortSignal.abort())();
  expect(await holderOf(seedId)).toBe(`t/${RUN}/${STAY}`);
});
