import { reasonOf } from '../../errors.js';
import type { HostContext } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { compactRecords } from '../../task-folder/compact-records.js';
import { rereadLedger } from '../../task-folder/ledger.js';

/**
 * Removes unneeded records from a long ledger. Never rejects: without room the ledger stays as it is.
 * @param needed ids of the messages of the last ended turn, which may be repeated
 */
export async function compactLedger(
  host: Pick<HostContext, 'log'>,
  { ref, folder, journal, ledger, arrived }: PreparedTask,
  needed: ReadonlySet<string>,
): Promise<void> {
  if (!ledger.isLong()) return;
  try {
    // A turn whose end is not on the disk is repeated, with its messages.
    await journal.sync();
    const { past, end } = await rereadLedger(ledger, folder.ledger);
    // Codex may have been restarted meanwhile, with another turn.
    await ledger.compact(end, compactRecords(past, new Set([...needed, ...arrived])));
  } catch (error) {
    host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'ledger.compact.failed');
  }
}
