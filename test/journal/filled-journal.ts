import { expect, onTestFinished } from 'vitest';
import { type Journal, type JournalOptions } from '../../src/journal/journal.js';
import { openJournal } from '../../src/journal/open-journal.js';

/** An event that tells its number, larger by `fill` bytes. */
export const event = (n: number, fill = 0) => JSON.stringify({ n, fill: 'x'.repeat(fill) });

/** Opens a journal that is closed with the test. */
export async function opened(folder: string, options?: JournalOptions): Promise<Journal> {
  const journal = await openJournal(folder, options);
  onTestFinished(() => journal.close());
  return journal;
}

/** A journal with so many events, in its files. */
export async function filled(
  folder: string,
  count: number,
  options?: JournalOptions,
  fill = 0,
): Promise<Journal> {
  const journal = await opened(folder, options);
  for (let n = 1; n <= count; n++) {
    journal.append(event(n, fill));
    if (n % 100 === 0) await journal.flushed();
  }
  await journal.flushed();
  return journal;
}

/** Everything after an id, read in pieces. */
export async function readAll(journal: Journal, afterId = 0, maxBytes = 10_000) {
  const found: { id: number; data: Record<string, unknown> }[] = [];
  let cursor = afterId;
  for (;;) {
    const frames = await journal.read(cursor, maxBytes);
    if (!frames) return found;
    for (const [, id, data] of frames.bytes.toString('utf8').matchAll(/id: (\d+)\ndata: (.*)\n\n/g))
      found.push({ id: Number(id), data: JSON.parse(data!) as Record<string, unknown> });
    expect(frames.firstId).toBe(cursor + 1);
    expect(frames.lastId).toBe(found.at(-1)!.id);
    cursor = frames.lastId;
  }
}
