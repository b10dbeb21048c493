import type { Journal } from '../../journal/journal.js';
import type { LedgerRecord } from '../../task-folder/ledger.js';
import { recallEvents } from '../recall/recall-events.js';
import { openOnes, recallRequests } from './recalled-requests.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { cutTurn, TurnItems } from './turn-items.js';
import { unconfirmedIn } from '../../task-folder/taken-messages.js';
import { appendEvent } from '../../journal/append-event.js';

/** The last event of a task, with what its host knows. */
export interface LastWords {
  readonly reason: string;
  readonly outcome: string;
  /** Ids of messages that did not reach the ledger. */
  readonly undelivered?: readonly string[];
}

/**
 * Closes open turns, items and requests that Codex will never close, and appends its last event, which names the
 * messages that Codex never got. A failure before that event may be repeated.
 * @param past the task's ledger as it is now
 */
export async function appendClosed(
  journal: Journal,
  past: readonly LedgerRecord[],
  folder: Pick<TaskFolder, 'checkpoint'>,
  { reason, outcome, undelivered = [] }: LastWords,
): Promise<void> {
  const arrived = await endOpenEvents(journal, past, folder);
  const ids = new Set([...unconfirmedIn(past), ...undelivered]);
  const dropped = [...ids].filter((id) => !arrived.has(id));
  const more = dropped.length > 0 ? { dropped } : {};
  appendEvent(journal, { type: 'x-optio-closed', reason, outcome, ...more });
}

/**
 * Closes what Codex will never close: the running turn, its items, and unanswered requests. Idempotent.
 * @param past the task's ledger as it is now
 * @returns ids of the messages that Codex has in its thread, according to the events
 */
export async function endOpenEvents(
  journal: Journal,
  past: readonly LedgerRecord[],
  folder: Pick<TaskFolder, 'checkpoint'>,
): Promise<ReadonlySet<string>> {
  const threadId = past.findLast((each) => each.t === 'thread')?.threadId;
  if (threadId === undefined) return new Set();
  await journal.flushed();
  const recalled = await recallEvents(journal, { past }, threadId, folder);
  const { openTurn, openItems } = recalled;
  const items = new TurnItems();
  for (const item of openItems.values()) items.recalled(item);
  if (openTurn !== null) for (const event of items.close(threadId, openTurn)) journal.append(event);
  const requests = recallRequests(past, recalled);
  for (const request_id of openOnes(requests)) {
    const { behavior = 'deny', decidedBy = 'closed' } = requests.decisions.get(request_id) ?? {};
    appendEvent(journal, { type: 'x-optio-permission-answered', request_id, behavior, decidedBy });
  }
  if (openTurn !== null) journal.append(cutTurn(threadId, openTurn));
  return new Set(recalled.messages.keys());
}
