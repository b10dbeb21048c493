import { existsSync } from 'node:fs';
import type { TaskRef } from '../../contract/activities.js';
import { endAssignment, findAssignment } from '../../store/assignments.js';
import { saveAssignment } from './evict-tasks.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { endOrphan } from '../task/end-orphan.js';
import { readOwner } from '../../task-folder/task-manifest.js';
import { taskFolder } from '../../task-folder/task-folder.js';
import { reapTask } from '../task/reap-task.js';
import { saveOrphan } from '../task/save-orphan.js';

/**
 * Ends an assignment here at once for another one of the same task: Codex has stopped and nothing is left when this
 * returns. If its run continues, saves it for the next assignment, unless the task has moved without it; else as a
 * task whose workflow has ended. Leaves another assignment alone. Idempotent; concurrent calls for one assignment
 * share the work.
 * @throws when the database or Temporal do not answer: unsaved work stays as before then
 */
export function yieldAssignment(host: HostContext, ref: TaskRef): Promise<void> {
  return host.tasks.shared(`yield ${ref.assignmentId}`, async () => {
    const known = host.tasks.find(ref.taskId);
    const goesOn = await host.isRunning(ref);
    // A later assignment may have saved more than one that this host was fenced from.
    const maySave = await hasAssignment(host, ref);
    if (known?.ref.assignmentId === ref.assignmentId) {
      if (known.kind === 'claimed') host.tasks.remove(ref.taskId);
      else if (goesOn) await saveAssignment(host, ref, maySave);
      else await endOrphan(host, known);
    } else if (!known && goesOn) await saveAssignment(host, ref, maySave);
    else if (!known) await host.tasks.inTurn(ref.taskId, () => reapFolder(host, ref));
    await endAssignment(host.store, ref, host.hostId);
    host.log.info({ taskId: ref.taskId, assignmentId: ref.assignmentId }, 'assignment.yielded');
  });
}

/** Whether the database records this assignment for this host. */
export async function hasAssignment(
  { store, hostId }: Pick<HostContext, 'hostId' | 'store'>,
  { taskId, assignmentId }: TaskRef,
): Promise<boolean> {
  const assignment = await findAssignment(store, taskId);
  return assignment?.assignmentId === assignmentId && assignment.hostId === hostId;
}

async function reapFolder(host: KeepingHost, ref: TaskRef): Promise<void> {
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  if (host.tasks.find(ref.taskId) || !existsSync(folder.root)) return;
  const owner = await readOwner(folder.taskJson);
  if (owner && owner.ref.assignmentId !== ref.assignmentId) return;
  await reapTask(host, folder, {
    closingReport: 'its workflow has ended',
    keepWork: () => saveOrphan(host, folder),
  });
}

/** Another assignment of the task that lies here; null: there is none. */
export async function earlierAssignment(
  host: Pick<HostContext, 'config' | 'tasks'>,
  ref: TaskRef,
): Promise<TaskRef | null> {
  const known = host.tasks.find(ref.taskId);
  if (known && known.kind !== 'claimed')
    return known.ref.assignmentId === ref.assignmentId ? null : known.ref;
  const owner = await readOwner(taskFolder(host.config.dataDir, ref.taskId).taskJson);
  return owner && owner.ref.assignmentId !== ref.assignmentId ? owner.ref : null;
}
