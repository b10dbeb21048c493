import type { ActivitySlotInfo, SlotReserveContext } from '@temporalio/worker';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { claimSlots } from '../../src/temporal/claim-slots.js';
import { createClaimActivities } from '../../src/activities/claim.js';
import { ACTIVITY_PROTOCOL } from '../../src/contract/activity-protocol.js';
import type { HostContext } from '../../src/session/model/host-context.js';
import { HostTasks } from '../../src/session/model/host-tasks.js';
import { testFolder } from '../support/folders.js';

const context = {} as SlotReserveContext;
const never = new AbortController().signal;
const ref = (taskId: string) => ({ taskId, runId: 'r', assignmentId: 's' });

/** Whether a slot is there now: a reservation that waits is given up. */
async function isFree(slots: ReturnType<typeof claimSlots>): Promise<boolean> {
  const gaveUp = new AbortController();
  const reserving = slots.reserveSlot(context, gaveUp.signal).then(
    () => true,
    () => false,
  );
  setImmediate(() => gaveUp.abort(new Error('no place')));
  return reserving;
}
const release = (slots: ReturnType<typeof claimSlots>) =>
  slots.releaseSlot({ slotInfo: {} as ActivitySlotInfo, permit: {} });

describe('the places of a host', () => {
  it('are as many as its tasks may be, and a task keeps one after its claim', async () => {
    const tasks = new HostTasks(2);
    const slots = claimSlots(tasks);
    expect([await isFree(slots), await isFree(slots), await isFree(slots)]).toEqual([true, true, false]);
    tasks.claim(ref('a'));
    release(slots);
    expect(await isFree(slots)).toBe(false);
    release(slots);
    expect(await isFree(slots)).toBe(true);
    expect(slots.tryReserveSlot(context)).toBeNull();
    tasks.remove('a');
  });

  it('go to a waiting claim when a task leaves, and to none during a drain', async () => {
    const tasks = new HostTasks(1);
    const slots = claimSlots(tasks);
    tasks.claim(ref('a'));
    const waiting = slots.reserveSlot(context, never);
    tasks.remove('a');
    await waiting;
    release(slots);
    tasks.drain();
    expect(await isFree(slots)).toBe(false);
  });

  it('are not granted without the lease of the host, nor during a drain', async () => {
    const tasks = new HostTasks(1);
    let isHeld = false;
    const hostLease = { isHeld: () => isHeld };
    const steps = createClaimActivities({
      config: { dataDir: await testFolder() },
      hostId: 'h1',
      tasks,
      hostLease,
      leaseTtlMs: 60_000,
    } as unknown as HostContext);
    await expect(steps.claimHost(ref('a'))).rejects.toThrow('has no right to run tasks now');
    expect(tasks.size).toBe(0);
    isHeld = true;
    expect(await steps.claimHost(ref('a'))).toEqual({ hostId: 'h1', ttlMs: 60_000 });
    expect(tasks.size).toBe(1);
    tasks.remove('a');
    tasks.drain();
    await expect(steps.claimHost(ref('a'))).rejects.toThrow('takes no more tasks');
    expect(tasks.size).toBe(0);
  });

  it('are left to hosts that speak the version of the task', async () => {
    const tasks = new HostTasks(1);
    const config = { dataDir: await testFolder() };
    const told: unknown[] = [];
    const signalWorkflow = (...word: unknown[]) => Promise.resolve(told.push(word));
    const hostLease = { isHeld: () => true };
    const host = { hostId: 'h1', config, tasks, hostLease, leaseTtlMs: 60_000, signalWorkflow };
    const steps = createClaimActivities(host as unknown as HostContext);
    const newer = { ...ref('a'), protocol: ACTIVITY_PROTOCOL + 1 };
    for (const attempt of [1, 2, 3, 4])
      await expect(
        new MockActivityEnvironment({ attempt }).run(() => steps.claimHost(newer)),
      ).rejects.toMatchObject({ type: 'Unavailable', nonRetryable: false });
    const word = { hostId: 'h1', protocol: ACTIVITY_PROTOCOL };
    expect(told).toEqual([1, 2].map(() => [ref('a'), 'claimRefused', word]));
    expect(tasks.size).toBe(0);
    expect(await steps.claimHost({ ...ref('a'), protocol: ACTIVITY_PROTOCOL })).toMatchObject({
      hostId: 'h1',
    });
    expect(tasks.find('a')?.ref).toEqual(ref('a'));
    tasks.remove('a');
  });

  it('are offered to other hosts first when the task failed on this one', async () => {
    const tasks = new HostTasks(2);
    const fitness = {
      unfit: { step: 'prepareWorkdir', reason: 'EROFS', since: new Date() },
      admits: () => true,
    };
    const config = { dataDir: await testFolder() };
    const host = {
      hostId: 'h1',
      config,
      tasks,
      fitness,
      hostLease: { isHeld: () => true },
      leaseTtlMs: 60_000,
    };
    const steps = createClaimActivities(host as unknown as HostContext);
    const claiming = { ...ref('a'), protocol: ACTIVITY_PROTOCOL, avoid: ['h1'] };
    const at = (attempt: number) =>
      new MockActivityEnvironment({ attempt }).run(() => steps.claimHost(claiming));
    await expect(at(1)).rejects.toThrow('takes no new task now (prepareWorkdir: EROFS)');
    await expect(at(10)).rejects.toMatchObject({ type: 'Unavailable' });
    expect(await at(11)).toMatchObject({ hostId: 'h1' });
    const others = { ...ref('b'), protocol: ACTIVITY_PROTOCOL, avoid: ['h2'] };
    expect(await steps.claimHost(others)).toMatchObject({ hostId: 'h1' });
    for (const taskId of ['a', 'b']) tasks.remove(taskId);
  });
});
