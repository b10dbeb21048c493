import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, WorkerOptions } from '@temporalio/worker';
import { openSemaphore } from '../async/semaphore.js';

/** The SDK's own numbers for what a tuner must name too. */
const WORKFLOW_TASKS = 40;
const OTHERS = 100;

/**
 * Options of a worker with `max` slots that only the activities that are `counted` share: one that may wait long, or
 * comes in any number, leaves the slot that it was taken with to the next.
 */
export function countedSlots(
  max: number,
  isCounted: (activityType: string) => boolean,
): Pick<WorkerOptions, 'tuner'> {
  const fixed = (numSlots: number) => ({ type: 'fixed-size', numSlots }) as const;
  return {
    tuner: {
      workflowTaskSlotSupplier: fixed(WORKFLOW_TASKS),
      localActivityTaskSlotSupplier: fixed(OTHERS),
      nexusTaskSlotSupplier: fixed(OTHERS),
      activityTaskSlotSupplier: activitySlots(max, isCounted),
    },
  };
}

/** A slot while it is held: it counts until its activity turns out to be one that does not. */
interface Held extends SlotPermit {
  counts: boolean;
}

export function activitySlots(
  max: number,
  isCounted: (activityType: string) => boolean,
): CustomSlotSupplier<ActivitySlotInfo> {
  const permits = openSemaphore(max);
  const giveBack = (permit: SlotPermit) => {
    const held = permit as Held;
    if (!held.counts) return;
    held.counts = false;
    permits.release();
  };
  return {
    type: 'custom',
    async reserveSlot(_context, signal): Promise<Held> {
      await permits.acquire(signal);
      return { counts: true };
    },
    // A slot for an activity that a workflow on this worker just requested.
    tryReserveSlot: (): Held | null => (permits.tryAcquire() ? { counts: true } : null),
    markSlotUsed({ slotInfo, permit }) {
      if (!isCounted(slotInfo.activityType)) giveBack(permit);
    },
    releaseSlot: ({ permit }) => giveBack(permit),
  };
}
