import type { ThreadTurnsListResponse } from '../../codex/protocol.js';
import type { Rpc } from '../../codex/rpc.js';
import type { Journal } from '../../journal/journal.js';

const PAGE = 50;
const CALL_MS = 30_000;

/**
 * Writes a resumed thread's earlier turns as ordinary events, oldest first and marked as history, before
 * anything new happens: every subscriber then sees the whole thread.
 */
export async function journalHistory(rpc: Rpc, threadId: string, journal: Journal): Promise<number> {
  let cursor: string | null = null;
  let turns = 0;
  do {
    const params = { threadId, cursor, limit: PAGE, sortDirection: 'asc', itemsView: 'full' } as const;
    const page: ThreadTurnsListResponse = await rpc.call('thread/turns/list', params, { timeoutMs: CALL_MS });
    for (const { items, ...turn } of page.data) {
      const emit = (method: string, more: Record<string, unknown>) =>
        journal.append(JSON.stringify({ method, params: { threadId, ...more }, 'x-optio-history': true }));
      emit('turn/started', { turn: { ...turn, items: [], status: 'inProgress' } });
      for (const item of items) emit('item/completed', { turnId: turn.id, item });
      emit('turn/completed', { turn: { ...turn, items: [] } });
      turns++;
    }
    cursor = page.nextCursor ?? null;
  } while (cursor !== null);
  return turns;
}
