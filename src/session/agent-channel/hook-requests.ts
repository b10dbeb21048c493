import type { HookRequest, HookRequestAnswer } from '../../contract/index.js';
import type { Ledger } from '../../task-folder/ledger.js';

/** What this host has asked the task's workflow and has no answer to. The session does not end by itself before. */
export interface HookRequests {
  /** Hook requests without an answer. */
  readonly size: number;
  /** All there ever were of the agent. */
  readonly count: number;
  find(id: string): HookRequest | undefined;
  /** Takes a hook request once by its id; resolves when it is durable. */
  add(hookRequest: HookRequest): Promise<void>;
  /** Notes an answer. Idempotent. */
  settle(answer: HookRequestAnswer): Promise<void>;
}

/**
 * Opens the open requests with what an earlier worker wrote down: what has no answer is told again.
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
