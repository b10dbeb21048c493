import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { HostTasks } from './session/host-tasks.js';

/** Slots of the claim queue: one for each place that this host has free, sessions outliving their claims. */
export function claimSlots(tasks: HostTasks): CustomSlotSupplier<ActivitySlotInfo> {
  let reserved = 0;
  return {
    type: 'custom',
    async reserveSlot(_context, signal) {
      while (!tasks.hasRoom(reserved + 1)) await tasks.whenChanged(signal);
      reserved++;
      return {};
    },
    // Eager dispatch would pin a task to the worker that ran its workflow.
    tryReserveSlot: () => null,
    markSlotUsed: () => undefined,
    releaseSlot() {
      reserved--;
      tasks.changed();
    },
  };
}
