import { pino } from 'pino';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { TaskError } from '../../../src/errors.js';
import { openFitness, UnfitHere } from '../../../src/session/host/host-fitness.js';
import { HostTasks } from '../../../src/session/model/host-tasks.js';
import { readUnfit, registerHost } from '../../../src/store/hosts.js';
import { until } from '../../support/until.js';
import { MINUTE, useStore } from '../../store/support.js';
import type { HostFitness } from '../../../src/session/model/host-fitness.js';

const use = useStore();
const EROFS = Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
const ref = (taskId: string) => ({ taskId, runId: 'r1', assignmentId: 's1' });

beforeEach(() => registerHost(use.store, { hostId: 'h1', listenerUrl: '', version: '', ttlMs: MINUTE }));

async function open() {
  const tasks = new HostTasks(4);
  onTestFinished(() => tasks.all().forEach(({ ref: { taskId } }) => tasks.remove(taskId)));
  const fitness = await openFitness(use.store, 'h1', tasks, pino({ enabled: false }));
  const fail = (taskId: string, error: unknown = EROFS) => fitness.failed('prepareWorkdir', taskId, error);
  return { tasks, fitness, fail };
}

/** Makes a host unfit, and waits until the database knows. */
async function spoil({ fitness, fail }: { fitness: HostFitness; fail: (taskId: string) => unknown }) {
  for (let i = 0; i < 3; i++) expect(fail('a')).toBe(EROFS);
  expect(fitness.unfit).toMatchObject({ step: 'prepareWorkdir', reason: EROFS.message });
  await until('its note', async () => (await readUnfit(use.store, 'h1')) !== null);
}

it('takes one task at a time after three failures in a row that are the host’s fault', async () => {
  const host = await open();
  expect(host.fitness.allows(3)).toBe(true);
  await spoil(host);
  expect([host.fitness.allows(0), host.fitness.allows(1)]).toEqual([true, false]);
  expect(host.fitness.admits('b')).toBe(true);
  host.tasks.claim(ref('b'));
  expect([host.fitness.allows(0), host.fitness.admits('c'), host.fitness.admits('b')]).toEqual([
    false,
    false,
    true,
  ]);
});

it('offers its trial task to other hosts, and pauses longer before each next trial', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const host = await open();
  for (let i = 0; i < 3; i++) host.fail('a');
  for (const pauseMs of [5_000, 10_000, 20_000]) {
    expect(host.fitness.admits('b')).toBe(true);
    expect(host.fail('b')).toBeInstanceOf(UnfitHere);
    vi.advanceTimersByTime(pauseMs - 1);
    expect(host.fitness.admits('b')).toBe(false);
    const changed = host.tasks.whenChanged(new AbortController().signal);
    vi.advanceTimersByTime(2);
    await changed;
    expect(host.fitness.allows(0)).toBe(true);
  }
});

it('stays unfit over a new worker until it has started a task', async () => {
  await spoil(await open());
  const { fitness } = await open();
  expect(fitness.unfit).toMatchObject({ reason: EROFS.message });
  fitness.succeeded('launchAppServer');
  expect(fitness.unfit).not.toBeNull();
  fitness.succeeded('prepareWorkdir');
  expect(fitness.allows(3)).toBe(true);
  await until('the end of its note', async () => (await readUnfit(use.store, 'h1')) === null);
});

it('does not count faults of tasks, of the code or of unreachable servers', async () => {
  const { fitness, fail } = await open();
  const away = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  for (const error of [new TaskError('BadInput', 'x'), new TypeError('x'), away])
    for (let i = 0; i < 4; i++) expect(fail('a', error)).toBe(error);
  fail('a');
  fail('a');
  fitness.succeeded('prepareWorkdir');
  fail('a');
  expect(fitness.unfit).toBeNull();
});
