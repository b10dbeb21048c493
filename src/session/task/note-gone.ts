import { reasonOf } from '../../errors.js';
import type { TaskRef } from '../../contract/activities.js';
import { endStay } from '../../store/assignments.js';
import type { HostContext } from '../model/host-context.js';

/** Ends the record of a stay of which nothing is here any more. While the database is away it waits for the sweep. */
export async function noteGone(host: HostContext, ref: TaskRef): Promise<void> {
  await endStay(host.store, ref, host.hostId).catch((error: unknown) =>
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'stay.end.failed'),
  );
}
