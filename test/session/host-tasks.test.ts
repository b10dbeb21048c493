import { describe, expect, it } from 'vitest';
import { TaskError } from '../../src/errors.js';
import { HostTasks, type HostTask } from '../../src/session/host-tasks.js';

const ref = { taskId: 't1', runId: 'r1', stayId: 's' };
const loss = new TaskError('LeaseLost', 'Lease lost on seed s1: it could not be renewed in time');
const never = new AbortController().signal;

/** A host with one task, in a state whose parts nobody looks at. */
function hostWith(is: 'live' | 'recovering') {
  const tasks = new HostTasks(1);
  const stopping = new AbortController();
  tasks.set({ is, ref, stopping, failed: null, mounted: true } as unknown as HostTask);
  return { tasks, stopping };
}

describe('a task that was stopped because its lease is lost', () => {
  it.each(['live', 'recovering'] as const)('is not waited for while it is %s: it is said why', async (is) => {
    const { tasks, stopping } = hostWith(is);
    tasks.noteLost(ref, loss);
    stopping.abort();
    await expect(tasks.whenLive(ref, never)).rejects.toBe(loss);
    expect(() => tasks.live(ref)).toThrow(loss);
  });

  it('stays lost when its workflow claims this host again while it is being stopped', async () => {
    const { tasks, stopping } = hostWith('live');
    tasks.noteLost(ref, loss);
    stopping.abort();
    tasks.claim(ref);
    await expect(tasks.whenLive(ref, never)).rejects.toBe(loss);
  });

  it('is another one once it is claimed anew', async () => {
    const { tasks, stopping } = hostWith('live');
    tasks.noteLost(ref, loss);
    stopping.abort();
    tasks.remove(ref.taskId);
    tasks.claim(ref);
    await expect(tasks.whenLive(ref, never)).rejects.toMatchObject({ code: 'SessionNotHere' });
    tasks.remove(ref.taskId);
  });
});

it('a watch over a credential ends when another takes its place, and when the task goes', () => {
  const tasks = new HostTasks(1);
  const meanwhile = tasks.takeWatch('t1');
  const step = tasks.takeWatch('t1');
  expect([meanwhile.signal.aborted, step.signal.aborted]).toEqual([true, false]);
  // The one that was replaced says so late.
  meanwhile.end();
  tasks.remove('t1');
  expect(step.signal.aborted).toBe(true);
});

it('only a watch that no step keeps ends with the session', () => {
  const tasks = new HostTasks(1);
  const step = tasks.takeWatch('t1');
  tasks.endMeanwhile('t1');
  expect([step.signal.aborted, tasks.isWatched('t1')]).toEqual([false, true]);
  step.end();
  expect(tasks.isWatched('t1')).toBe(false);
  const meanwhile = tasks.takeWatch('t1', true);
  tasks.endMeanwhile('t1');
  expect(meanwhile.signal.aborted).toBe(true);
});
