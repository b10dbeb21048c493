import type { Journal } from '../../src/journal/journal.js';

export interface SessionEvent {
  type?: string;
  method?: string;
  id?: string;
  params?: Record<string, unknown>;
  [field: string]: unknown;
}

/** A journal that only keeps what is appended, for tests of those that write into it. */
export function memoryJournal(): { journal: Journal; events: SessionEvent[]; syncs: () => number } {
  const events: SessionEvent[] = [];
  let syncs = 0;
  const journal = {
    append: (json: string) => events.push(JSON.parse(json) as SessionEvent),
    flushed: () => Promise.resolve(),
    sync() {
      syncs++;
      return Promise.resolve();
    },
  } as unknown as Journal;
  return { journal, events, syncs: () => syncs };
}
