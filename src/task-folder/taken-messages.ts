import type { TaskMessage } from '../contract/index.js';
import type { LedgerRecord } from './ledger.js';

/** Ids of what the host tells the model first: once in the whole life of a task. */
export const FIRST_IDS = ['kickoff', 'resumed', 'prompt'] as const;

/** Ids of messages that were taken and of which codex never said that it has them, as a task's records tell. */
export function unconfirmedIn(past: readonly LedgerRecord[]): string[] {
  const { undecided, unsent } = recall(past);
  return [...undecided, ...unsent].map(({ messageId }) => messageId);
}

/** Ids of all messages that were taken, as far as a task's records tell; and of those that codex has in its thread. */
export function takenIn(past: readonly LedgerRecord[]): {
  ids: readonly string[];
  arrived: ReadonlySet<string>;
} {
  const { ids, arrived } = recall(past);
  return { ids, arrived };
}

export function recall(past: readonly LedgerRecord[]) {
  const ids = new Set<string>();
  const messages = new Map<string, TaskMessage>();
  const begun = new Set<string>();
  const arrived = new Set<string>();
  for (const record of past)
    if (record.t === 'message') {
      ids.add(record.message.messageId);
      messages.set(record.message.messageId, record.message);
    } else if (record.t === 'known') {
      ids.add(record.messageId);
      arrived.add(record.messageId);
    } else if (record.t === 'turn') begun.add(record.messageId);
    else if (record.t === 'accepted') arrived.add(record.messageId);
    else if (record.t === 'again')
      for (const messageId of record.messageIds) {
        begun.delete(messageId);
        arrived.delete(messageId);
      }
  const open = [...messages.values()].filter(({ messageId }) => !arrived.has(messageId));
  return {
    messages,
    ids: [...ids],
    arrived,
    unsent: open.filter(({ messageId }) => !begun.has(messageId)),
    undecided: open.filter(({ messageId }) => begun.has(messageId)),
  };
}
