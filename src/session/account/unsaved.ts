import type { LeaseRef } from '../../contract/activities.js';
import { fingerprint } from '../../store/seed-archive.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { readAuth } from './read-auth.js';

/** Whether the task's auth.json is newer than the database's. An unreadable one counts as newer. */
export async function isUnsaved({ folder, account }: PreparedTask): Promise<boolean> {
  try {
    const bytes = await readAuth(folder);
    const print = bytes && fingerprint(bytes);
    return print !== null && print !== account.savedAuth;
  } catch {
    return true;
  }
}

/** Logs where the only copy of a refreshed credential is when its worker stops: the next one there saves it. */
export async function logUnsaved(
  host: Pick<AccountPorts, 'log'>,
  task: PreparedTask,
  lease: LeaseRef,
): Promise<void> {
  if (!(await isUnsaved(task))) return;
  const { ref, folder } = task;
  const remedy = 'start a worker on this data folder before the lease of the seed is over';
  const fields = { taskId: ref.taskId, seedId: lease.seedId, path: folder.root, remedy };
  host.log.error(fields, 'credential.unsaved');
}
