import type { ActivitySlotInfo, SlotPermit, SlotReserveContext } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import {
  createClaimActivities,
  createHostActivities,
  createSharedActivities,
  createVerifyActivities,
} from '../../src/activities/index.js';
import type { SharedContext } from '../../src/activities/shared.js';
import { isCounted, SLOTS_OF } from '../../src/activities/slots-of.js';
import { activitySlots } from '../../src/temporal/activity-slots.js';
import type { HostContext } from '../../src/session/model/host-context.js';

const context = {} as SlotReserveContext;
const never = new AbortController().signal;
const slotInfo = (activityType: string): ActivitySlotInfo => ({ type: 'activity', activityType });

describe('the table of activities', () => {
  it('has each activity that a worker registers, on its queue, and no other', () => {
    const host = { leaseTtlMs: 60_000 } as HostContext;
    const registered = {
      shared: [createSharedActivities({} as SharedContext), createVerifyActivities(host)],
      claims: [createClaimActivities(host)],
      host: [createHostActivities(host)],
    };
    const rows = Object.entries(registered).flatMap(([queue, all]) =>
      all.flatMap((steps) => Object.keys(steps).map((name) => [name, queue])),
    );
    const table = Object.entries(SLOTS_OF).map(([name, { queue }]) => [name, queue]);
    expect(table.sort()).toEqual(rows.sort());
  });

  it('reserves slots for starting and ending tasks, apart from those of long activities', () => {
    const free = Object.keys(SLOTS_OF).filter((name) => !isCounted(name));
    expect(free.sort()).toEqual([
      'awaitHost',
      'checkSeed',
      'dropTexts',
      'evictTask',
      'followSession',
      'keepText',
      'listSeedsToVerify',
      'readText',
    ]);
    expect(isCounted('an activity that nobody put down')).toBe(true);
  });
});

describe('the slots of a worker', () => {
  const isShort = (name: string) => name === 'short';
  const open = () => {
    const slots = activitySlots(2, isShort);
    const begin = async (name: string): Promise<SlotPermit> => {
      const permit = await slots.reserveSlot(context, never);
      slots.markSlotUsed({ slotInfo: slotInfo(name), permit });
      return permit;
    };
    return { slots, begin, tryBegin: () => slots.tryReserveSlot(context) };
  };

  it('are free for short activities whatever number of long ones runs', async () => {
    const { slots, begin, tryBegin } = open();
    const long = [await begin('long'), await begin('long'), await begin('long')];
    const short = [await begin('short'), await begin('short')];
    expect(tryBegin()).toBeNull();
    for (const permit of long) slots.releaseSlot({ slotInfo: slotInfo('long'), permit });
    expect(tryBegin()).toBeNull();
    slots.releaseSlot({ slotInfo: slotInfo('short'), permit: short[0]! });
    expect([tryBegin(), tryBegin()]).toEqual([{ counts: true }, null]);
  });

  it('go to the first in line, and to nobody who has given up', async () => {
    const { slots, begin } = open();
    const [first] = [await begin('short'), await begin('short')];
    const gaveUp = new AbortController();
    const waits = slots.reserveSlot(context, gaveUp.signal);
    const next = slots.reserveSlot(context, never);
    gaveUp.abort(new Error('shut down'));
    await expect(waits).rejects.toThrow('shut down');
    slots.releaseSlot({ permit: first });
    expect(await next).toEqual({ counts: true });
  });
});
