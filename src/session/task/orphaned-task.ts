import type { PrepareArguments } from '../../contract/activities.js';
import { openAccount } from '../account/task-account.js';
import type { KeepingHost } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { openRecords } from './open-records.js';
import type { ProcessRecord } from '../../task-folder/process-record.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';

/**
 * Opens the records of an orphaned task that gets no Codex now.
 * @param record what is known of its Codex
 */
export async function openOrphanedTask(
  host: KeepingHost,
  kept: PrepareArguments,
  folder: TaskFolder,
  threadId: string | null,
  record: ProcessRecord | null,
): Promise<PreparedTask> {
  const { ref, spec, lease, moved = null } = kept;
  const account = openAccount(record?.savedSha256 ?? null);
  const records = await openRecords(host, kept, folder);
  return { ref, spec, lease, moved, folder, ...records, account, threadId, recalled: null };
}
