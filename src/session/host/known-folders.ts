import { NewerFormat } from '../../formats.js';
import { readOwner } from '../../task-folder/task-manifest.js';
import { readLedger } from '../../task-folder/ledger.js';
import { readProcessRecord } from '../../task-folder/process-record.js';
import { segmentsIn } from '../../journal/segments.js';
import { taskFoldersIn } from '../../task-folder/task-folder.js';

/**
 * Checks what earlier workers left in this data folder, before any of it is adopted or ended.
 * @throws NewerFormat when a newer worker wrote some of it: all of it is left to that one
 */
export async function requireKnownFolders(dataDir: string): Promise<void> {
  for (const folder of await taskFoldersIn(dataDir)) {
    const { taskJson, ledger, journal } = folder;
    for (const read of [
      () => readOwner(taskJson),
      () => readProcessRecord(folder),
      () => readLedger(ledger),
      () => segmentsIn(journal),
    ])
      await read().catch((error: unknown) => {
        // Adoption handles what cannot be read now.
        if (error instanceof NewerFormat) throw error;
      });
  }
}
