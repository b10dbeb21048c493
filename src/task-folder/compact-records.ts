import { countOf, REMEMBERED, type LedgerRecord } from './ledger.js';
import { FIRST_IDS, takenIn } from './taken-messages.js';

/** How many of the newest records of each kind are kept; of other kinds what `rules` says, or all. */
const NEWEST: Partial<Record<LedgerRecord['t'], number>> = {
  process: 1,
  boot: 1,
  thread: 1,
  suspended: 1,
  stopped: 1,
  lost: 1,
  close: 1,
  ending: 1,
  answered: REMEMBERED,
  rules: 1,
  overdue: REMEMBERED,
  control: REMEMBERED,
  interrupt: REMEMBERED,
};

/**
 * The records that tell an adopting worker the same as all of them, even with later ones behind them.
 * @param needed ids of messages that codex may lose again: their texts are kept, as those of all that it has not
 */
export function compactRecords(past: readonly LedgerRecord[], needed: ReadonlySet<string>): LedgerRecord[] {
  const { ids, arrived } = takenIn(past);
  const texts = new Set(ids.filter((id) => !arrived.has(id) || needed.has(id)));
  const kept = past.filter(rules(past, ids, texts));
  const dropped = (of: 'threads' | 'suspended') => countOf(past, of) - countOf(kept, of);
  const earlier = { t: 'earlier', threads: dropped('threads'), suspended: dropped('suspended') } as const;
  return [earlier, ...idsOnly(kept, texts)];
}

/** Decides which records stay. */
function rules(
  past: readonly LedgerRecord[],
  ids: readonly string[],
  texts: ReadonlySet<string>,
): (record: LedgerRecord) => boolean {
  const newest = newestOf(past);
  const remembered = new Set([...ids.slice(-REMEMBERED), ...texts, ...FIRST_IDS]);
  const suspended = past.flatMap((each) => (each.t === 'suspended' ? [each.turnId] : [])).at(-1);
  const again = past.filter(
    (each) =>
      each.t === 'again' && (each.turnId === suspended || each.messageIds.some((id) => texts.has(id))),
  );
  const takenBack = new Set(again.flatMap((each) => (each.t === 'again' ? [each.turnId] : [])));
  // A choice waits until codex has a message after it.
  const lastAccepted = past.findLastIndex(({ t }) => t === 'accepted');
  const waiting = new Set([past[lastAccepted], ...past.slice(lastAccepted + 1)]);
  const protocol = past.filter(({ t }) => t === 'protocol');
  const hookRequests = hookRequestsIn(past);
  return (record) => {
    switch (record.t) {
      case 'message':
        return remembered.has(record.message.messageId);
      case 'known':
        return remembered.has(record.messageId);
      case 'turn':
        return texts.has(record.messageId);
      case 'accepted':
        return texts.has(record.messageId) || waiting.has(record);
      case 'again':
        return takenBack.has(record.turnId);
      case 'interrupt':
        return newest.has(record) || texts.has(record.messageId ?? '') || takenBack.has(record.turnId ?? '');
      case 'control':
        return newest.has(record) || waiting.has(record);
      case 'protocol':
        // The first and those with `after` bring a token.
        return record.after !== undefined || record === protocol[0] || record === protocol.at(-1);
      case 'hookRequest':
        return hookRequests.has(record.hookRequest.id);
      case 'owed':
      case 'settled':
        return hookRequests.has(record.id);
      case 'earlier':
        return false;
      default:
        return newest.has(record) || NEWEST[record.t] === undefined;
    }
  };
}

function newestOf(past: readonly LedgerRecord[]): ReadonlySet<LedgerRecord> {
  const left = new Map(Object.entries(NEWEST));
  const newest = new Set<LedgerRecord>();
  for (const record of past.toReversed()) {
    const room = left.get(record.t) ?? 0;
    // One without an id is remembered by none.
    if (room === 0 || (record.t === 'control' && !record.changeId)) continue;
    left.set(record.t, room - 1);
    newest.add(record);
  }
  return newest;
}

/** Ids of the agent's hook requests, which are counted, and of those that wait for their answer. */
function hookRequestsIn(past: readonly LedgerRecord[]): ReadonlySet<string> {
  const open = new Set<string>();
  const ofAgent: string[] = [];
  for (const record of past)
    if (record.t === 'hookRequest') {
      open.add(record.hookRequest.id);
      if (record.hookRequest.kind !== 'upload') ofAgent.push(record.hookRequest.id);
    } else if (record.t === 'owed') open.add(record.id);
    else if (record.t === 'settled') open.delete(record.id);
  return new Set([...open, ...ofAgent]);
}

/** Where a text is not asked for, its id stands in its place, once. */
function idsOnly(kept: readonly LedgerRecord[], texts: ReadonlySet<string>): LedgerRecord[] {
  const known = new Set<string>();
  return kept.flatMap((record): LedgerRecord[] => {
    const messageId =
      record.t === 'message' ? record.message.messageId : record.t === 'known' ? record.messageId : null;
    if (messageId === null || (record.t === 'message' && texts.has(messageId))) return [record];
    if (known.has(messageId)) return [];
    known.add(messageId);
    return [{ t: 'known', messageId }];
  });
}
