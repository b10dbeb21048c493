import type { LeaseRef } from '../step-arguments.js';
import { fingerprint } from '../store/seed-archive.js';
import { saveBack, type SaveBackResult } from '../store/seeds.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepare-task.js';
import { readAuth } from './read-auth.js';

/**
 * Brings a changed auth.json of the task into the database: into its seed, or into quarantine when the lease
 * is lost. One that is absent or not valid is left alone: codex replaces the file as a whole.
 */
export async function saveCredential(
  host: HostContext,
  task: PreparedTask,
  lease: LeaseRef,
): Promise<SaveBackResult> {
  // The bytes that are judged are the bytes that are stored.
  const bytes = await readAuth(task.folder);
  const print = bytes && fingerprint(bytes);
  if (bytes === null || print === null || print === task.savedAuth) return { kind: 'unchanged' };
  const result = await saveBack(host.store, lease, bytes, { taskId: task.ref.taskId });
  task.savedAuth = print;
  if (result.kind === 'quarantined')
    host.log.error(
      {
        taskId: task.ref.taskId,
        seedId: lease.seedId,
        reason: result.reason,
        quarantineId: result.quarantineId,
      },
      'credential.quarantined',
    );
  else host.log.info({ taskId: task.ref.taskId, seedId: lease.seedId }, 'credential.saved');
  return result;
}
