import type { ActivitySlotInfo, CustomSlotSupplier } from '@temporalio/worker';
import type { HostTasks } from '../session/model/host-tasks.js';
import type { HostFitness } from '../session/model/host-fitness.js';

/**
 * Slots of the claim queue: one for each place that this host has free, sessions outliving their claims; one
 * at a time when it could not begin its last tasks.
 */
export function claimSlots(
  tasks: HostTasks,
  fitness?: Pick<HostFitness, 'allows'>,
): CustomSlotSupplier<ActivitySlotInfo> {
  let reserved = 0;
  const hasRoom = () => tasks.hasRoom(reserved + 1) && (fitness?.allows(reserved) ?? true);
  return {
    type: 'custom',
    async reserveSlot(_context, signal) {
      while (!hasRoom()) await tasks.whenChanged(signal);
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
