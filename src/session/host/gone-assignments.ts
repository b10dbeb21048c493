import { assignmentsOn, endAssignment } from '../../store/assignments.js';
import { assignmentsOnDisk } from '../../task-folder/task-manifest.js';
import type { KeepingHost } from '../model/host-context.js';

/** Ends the records of assignments on this host that left nothing here, as after an early kill of a worker. */
export async function endGoneAssignments(host: KeepingHost): Promise<void> {
  const here = new Set(
    (await assignmentsOnDisk(host.config.dataDir)).map(({ assignmentId }) => assignmentId),
  );
  for (const assignment of await assignmentsOn(host.store, host.hostId)) {
    const isKnown = host.tasks.find(assignment.taskId)?.ref.assignmentId === assignment.assignmentId;
    if (!isKnown && !here.has(assignment.assignmentId))
      await endAssignment(host.store, assignment, host.hostId);
  }
}
