import { reasonOf } from '../../errors.js';
import type { TaskRef } from '../../contract/activities.js';
import { endAssignment } from '../../store/assignments.js';
import type { HostContext } from '../model/host-context.js';

/**
 * Ends the record of an assignment that has nothing here any more. During an outage of the database it waits for the
 * sweep.
 */
export async function noteGone(
  host: Pick<HostContext, 'hostId' | 'store' | 'log'>,
  ref: TaskRef,
): Promise<void> {
  await endAssignment(host.store, ref, host.hostId).catch((error: unknown) =>
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'assignment.end.failed'),
  );
}
