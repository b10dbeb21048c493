import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { appendClosed } from '../conversation/last-events.js';
import { keepFromNow } from './keep-from-now.js';
import { isClosed } from '../../journal/is-closed.js';
import { readLedger } from '../../task-folder/ledger.js';
import { endedFolder, type TaskFolder } from '../../task-folder/task-folder.js';
import { openJournal } from '../../journal/open-journal.js';

/**
 * Archives the journal of an orphaned task as if it had ended: appends `x-optio-closed`, so that its readers see the
 * end, and moves it to `ended/`.
 */
export async function archiveJournal(dataDir: string, folder: TaskFolder, reason: string): Promise<void> {
  if (!(await stat(folder.journal).catch(() => null))) return;
  const journal = await openJournal(folder.journal);
  if (!(await isClosed(journal))) {
    const past = await readLedger(folder.ledger);
    await appendClosed(journal, past, folder, { reason, outcome: 'failed' });
  }
  await journal.close();
  const kept = join(endedFolder(dataDir), folder.name);
  await mkdir(endedFolder(dataDir), { recursive: true, mode: 0o700 });
  await rm(kept, { recursive: true, force: true });
  await keepFromNow(folder.journal, kept);
}
