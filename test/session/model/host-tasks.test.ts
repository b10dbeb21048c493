import { describe, expect, it } from 'vitest';
import { TaskError } from '../../../src/errors.js';
import { HostTasks, type HostTask } from '../../../src/session/model/host-tasks.js';

const ref = { taskId: 't1', runId: 'r1', assignmentId: 's' };
const loss = new TaskError('LeaseLost', 'Lease lost on seed s1: it could not be renewed in time');
const never = new AbortController().signal;

/** A host with one task, in a state whose parts nobody looks at. */
function hostWith(is: 'live' | 'recovering') {
  const tasks = new HostTasks(1);
  const stopping = new AbortController();
  tasks.set({ kind: is, ref, stopping, failed: null, mounted: true } as unknown as HostTask);
  return { tasks, stopping };
}

describe('a task that was stopped because its lease is lost', () => {
  it.each(['live', 'recovering'] as const)(
    'is reported, and nobody waits for it while it is %s',
    async (is) => {
      const { tasks, stopping } = hostWith(is);
      tasks.noteLost(ref, loss);
      stopping.abort();
      await expect(tasks.whenLive(ref, never)).rejects.toBe(loss);
      expect(() => tasks.live(ref)).toThrow(loss);
    },
  );

  it('stays lost when its workflow claims this host again during the stop', async () => {
    const { tasks, stopping } = hostWith('live');
    tasks.noteLost(ref, loss);
    stopping.abort();
    tasks.claim(ref);
    await expect(tasks.whenLive(ref, never)).rejects.toBe(loss);
  });

  it('is a new task once it is claimed again', async () => {
    const { tasks, stopping } = hostWith('live');
    tasks.noteLost(ref, loss);
    stopping.abort();
    tasks.remove(ref.taskId);
    tasks.claim(ref);
    await expect(tasks.whenLive(ref, never)).rejects.toMatchObject({ code: 'SessionNotHere' });
    tasks.remove(ref.taskId);
  });
});

it('a watch over an account ends with its lease, and with its task', () => {
  const tasks = new HostTasks(1);
  const [first, second] = [1, 2].map((leaseEpoch) => ({ seedId: 's1', holder: 'h', leaseEpoch }));
  const earlier = tasks.takeWatch('t1', first!);
  const later = tasks.takeWatch('t1', second!);
  expect([earlier.signal.aborted, later.signal.aborted]).toEqual([true, false]);
  // The one that was replaced says so late.
  earlier.end();
  expect([tasks.isWatched('t1', first!), tasks.isWatched('t1', second!)]).toEqual([false, true]);
  tasks.remove('t1');
  expect(later.signal.aborted).toBe(true);
});

it('a wait for a free place ends at an abort and wakes at the next change', async () => {
  const tasks = new HostTasks(1);
  const aborted = AbortSignal.abort(new Error('too late'));
  await expect(tasks.whenChanged(aborted)).rejects.toThrow('too late');
  const stopping = new AbortController();
  const stopped = tasks.whenChanged(stopping.signal);
  const woken = tasks.whenChanged(never);
  stopping.abort(new Error('stopped'));
  await expect(stopped).rejects.toThrow('stopped');
  tasks.changed();
  await woken;
});
