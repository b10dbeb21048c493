import type { HookRequest, HookRequestAnswer } from '../../contract/index.js';
import type { Ledger } from '../../task-folder/ledger.js';

/** Unanswered hook requests of this host. The session does not end by itself before their answers. */
export interface HookRequests {
  /** Hook requests without an answer. */
  readonly size: number;
  /** All hook requests of the agent so far. */
  readonly count: number;
  find(id: string): HookRequest | undefined;
  /** Takes a hook request once by its id; resolves when it is durable. */
  add(hookRequest: HookRequest): Promise<void>;
  /** Notes an answer. Idempotent. */
  settle(answer: HookRequestAnswer): Promise<void>;
}

/**
 * Opens the requests with the records of an earlier worker and repeats unanswered ones.
 * @param tell tells the workflow, which takes each hook request once
 */
export function openHookRequests(
  ledger: Pick<Ledger, 'past' | 'write'>,
  tell: (hookRequest: HookRequest) => void,
): HookRequests {
  const known = new Map<string, HookRequest>();
  const open = new Set<string>();
  for (const record of ledger.past)
    if (record.t === 'hookRequest') {
      known.set(record.hookRequest.id, record.hookRequest);
      open.add(record.hookRequest.id);
    } else if (record.t === 'owed') open.add(record.id);
    else if (record.t === 'settled') open.delete(record.id);
  for (const id of open) {
    const hookRequest = known.get(id);
    if (hookRequest) tell(hookRequest);
  }
  return {
    get size() {
      return open.size;
    },
    get count() {
      return [...known.values()].filter(({ kind }) => kind !== 'upload').length;
    },
    find: (id) => known.get(id),
    async add(hookRequest) {
      if (known.has(hookRequest.id)) return;
      known.set(hookRequest.id, hookRequest);
      open.add(hookRequest.id);
      try {
        await ledger.write({ t: 'hookRequest', hookRequest });
      } catch (error) {
        known.delete(hookRequest.id);
        open.delete(hookRequest.id);
        throw error;
      }
      tell(hookRequest);
    },
    async settle({ id }) {
      if (!open.has(id)) return;
      await ledger.write({ t: 'settled', id });
      open.delete(id);
    },
  };
}
