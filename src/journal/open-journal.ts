import { ID_BLOCK } from './event-ids.js';
import { FileJournal } from './file-journal.js';
import { gapEvent } from './frames.js';
import { Segments } from './segments.js';
import type { Journal, JournalOptions } from './journal.js';

/**
 * Opens the journal in `folder`, which is made when absent. A last record cut by a crash is removed: nobody
 * has seen it. Of what is damaged somebody has: it is a gap, and no id in it is given again.
 */
export async function openJournal(folder: string, options: JournalOptions = {}): Promise<Journal> {
  const segments = await Segments.open(folder, options);
  const { lostUpTo, ids } = options;
  const from = segments.lastId + 1;
  try {
    if (lostUpTo === undefined && !segments.isCut) {
      await ids?.cover(segments.lastId);
      return new FileJournal(segments, from, options);
    }
    const next = (Math.floor(Math.max(segments.lastId, lostUpTo ?? 0) / ID_BLOCK) + 1) * ID_BLOCK;
    await ids?.cover(next);
    await segments.startAt(next);
    const journal = new FileJournal(segments, next, options);
    journal.append(gapEvent(from, next - 1, Date.now()));
    await journal.flushed();
    return journal;
  } catch (error) {
    ids?.close();
    await segments.close();
    throw error;
  }
}
