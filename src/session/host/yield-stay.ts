import { existsSync } from 'node:fs';
import type { TaskRef } from '../../contract/activities.js';
import { endStay, findStay } from '../../store/assignments.js';
import { saveStay } from './evict-tasks.js';
import type { HostContext } from '../model/host-context.js';
import { putBack } from '../task/end-orphan.js';
import { readOwner } from '../../task-folder/task-manifest.js';
import { taskFolder } from '../../task-folder/task-folder.js';
import { reapTask } from '../task/reap-task.js';
import { saveAbandoned } from '../task/save-orphan.js';

/**
 * Ends a stay here that another one of the same task is to follow, at once: codex stops and nothing of it is left when
 * this returns. When its run goes on, it is saved for the next stay, unless the task has gone on without it; else as a
 * task whose workflow has ended. Nothing happens to another stay. Repeatable, and calls for one stay share what is under
 * way.
 * @throws when the database or Temporal do not answer: what could not be saved is as before then
 */
export function yieldStay(host: HostContext, ref: TaskRef): Promise<void> {
  return host.tasks.shared(`yield ${ref.stayId}`, async () => {
    const known = host.tasks.find(ref.taskId);
    const goesOn = await host.isRunning(ref);
    // Of a stay that this host was kept from a later one may have saved more.
    const maySave = await hasStay(host, ref);
    if (known?.ref.stayId === ref.stayId) {
      if (known.is === 'claimed') host.tasks.remove(ref.taskId);
      else if (goesOn) await saveStay(host, ref, maySave);
      else await putBack(host, known);
    } else if (!known && goesOn) await saveStay(host, ref, maySave);
    else if (!known) await host.tasks.inTurn(ref.taskId, () => reapFolder(host, ref));
    await endStay(host.store, ref, host.hostId);
    host.log.info({ taskId: ref.taskId, stayId: ref.stayId }, 'stay.yielded');
  });
}

/** Whether the database notes that this host has this stay. */
export async function hasStay({ store, hostId }: HostContext, { taskId, stayId }: TaskRef): Promise<boolean> {
  const stay = await findStay(store, taskId);
  return stay?.stayId === stayId && stay.hostId === hostId;
}

async function reapFolder(host: HostContext, ref: TaskRef): Promise<void> {
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  if (host.tasks.find(ref.taskId) || !existsSync(folder.root)) return;
  const owner = await readOwner(folder.taskJson);
  if (owner && owner.ref.stayId !== ref.stayId) return;
  await reapTask(host, folder, {
    lastWords: 'its workflow has ended',
    keepWork: () => saveAbandoned(host, folder),
  });
}

/** The stay of a task that lies here and is not this one; null: there is none. */
export async function earlierStay(host: HostContext, ref: TaskRef): Promise<TaskRef | null> {
  const known = host.tasks.find(ref.taskId);
  if (known && known.is !== 'claimed') return known.ref.stayId === ref.stayId ? null : known.ref;
  const owner = await readOwner(taskFolder(host.config.dataDir, ref.taskId).taskJson);
  return owner && owner.ref.stayId !== ref.stayId ? owner.ref : null;
}
