import type { PrepareArguments } from '../../contract/activities.js';
import type { KeepingHost } from '../model/host-context.js';
import { endOpenEvents } from '../conversation/last-events.js';
import { openOrphanedTask } from './orphaned-task.js';
import { readProcessRecord, reapProcess } from '../../task-folder/process-record.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { isClosed } from '../../journal/is-closed.js';

/**
 * Adopts a task that an earlier worker was ending: Codex stays stopped, requests that nobody will answer are closed,
 * and the activities of its end find its folder and its records.
 */
export async function adoptEnding(
  host: KeepingHost,
  kept: PrepareArguments,
  folder: TaskFolder,
): Promise<void> {
  const { ref } = kept;
  const record = await readProcessRecord(folder);
  await reapProcess(folder, host.log);
  const prepared = await openOrphanedTask(host, kept, folder, null, record);
  const { journal, ledger } = prepared;
  if (await isClosed(journal)) await journal.end();
  else await endOpenEvents(journal, ledger.past, folder);
  host.tasks.set({ kind: 'ending', ref, stopping: new AbortController(), prepared, mounted: true });
  host.log.info({ taskId: ref.taskId }, 'task.ending');
}
