import type { Journal } from '../records/journal.js';
import type { LedgerRecord } from '../records/ledger.js';
import { recallEvents } from '../records/recall-events.js';
import { recallRequests } from '../records/recalled-requests.js';
import type { TaskFolder } from '../records/task-folder.js';
import { cutTurn, TurnItems } from './turn-items.js';

/**
 * Ends in a journal what no codex ends any more: the turn that ran, its items, and requests that nobody answers.
 * Nothing is left to end when it is called again with what the ledger has then.
 * @param past the task's ledger as it is now
 * @returns ids of the requests whose end this was
 */
export async function endOpenEvents(
  journal: Journal,
  past: readonly LedgerRecord[],
  folder: Pick<TaskFolder, 'checkpoint'>,
): Promise<string[]> {
  const threadId = past.findLast((each) => each.t === 'thread')?.threadId;
  if (threadId === undefined) return [];
  await journal.flushed();
  const { openTurn, openItems } = await recallEvents(journal, { past }, threadId, folder);
  const items = new TurnItems();
  for (const item of openItems.values()) items.recalled(item);
  if (openTurn !== null) for (const event of items.close(threadId, openTurn)) journal.append(event);
  const { openedAt, decisions, closed } = recallRequests(past);
  const requests = [...openedAt.keys()].filter((requestId) => !closed.has(requestId));
  for (const request_id of requests) {
    const { behavior = 'deny', decidedBy = 'closed' } = decisions.get(request_id) ?? {};
    journal.append(JSON.stringify({ type: 'x-optio-permission-answered', request_id, behavior, decidedBy }));
  }
  if (openTurn !== null) journal.append(cutTurn(threadId, openTurn));
  return requests;
}
