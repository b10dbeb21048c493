import type { Errand, ErrandAnswer } from '../../contract/index.js';
import type { Ledger } from '../../task-folder/ledger.js';

/** What this host has asked the task's workflow and has no answer to. The session does not end by itself before. */
export interface ErrandDesk {
  /** Errands without an answer. */
  readonly size: number;
  /** All there ever were of the agent. */
  readonly count: number;
  find(id: string): Errand | undefined;
  /** Takes an errand once by its id; resolves when it is durable. */
  add(errand: Errand): Promise<void>;
  /** Notes an answer. Repeatable. */
  settle(answer: ErrandAnswer): Promise<void>;
}

/**
 * Opens the desk with what an earlier worker wrote down: what has no answer is told again.
 * @param tell tells the workflow, which takes each errand once
 */
export function openErrandDesk(
  ledger: Pick<Ledger, 'past' | 'write'>,
  tell: (errand: Errand) => void,
): ErrandDesk {
  const known = new Map<string, Errand>();
  const open = new Set<string>();
  for (const record of ledger.past)
    if (record.t === 'errand') {
      known.set(record.errand.id, record.errand);
      open.add(record.errand.id);
    } else if (record.t === 'owed') open.add(record.id);
    else if (record.t === 'settled') open.delete(record.id);
  for (const id of open) {
    const errand = known.get(id);
    if (errand) tell(errand);
  }
  return {
    get size() {
      return open.size;
    },
    get count() {
      return [...known.values()].filter(({ kind }) => kind !== 'upload').length;
    },
    find: (id) => known.get(id),
    async add(errand) {
      if (known.has(errand.id)) return;
      known.set(errand.id, errand);
      open.add(errand.id);
      try {
        await ledger.write({ t: 'errand', errand });
      } catch (error) {
        known.delete(errand.id);
        open.delete(errand.id);
        throw error;
      }
      tell(errand);
    },
    async settle({ id }) {
      if (!open.has(id)) return;
      await ledger.write({ t: 'settled', id });
      open.delete(id);
    },
  };
}
