import { readResult } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';
import type { Conversation } from './conversation.js';

const CALL_MS = 30_000;

/**
 * Finds the sub-agents of a codex that an earlier worker left running, and follows them: their events and their open
 * requests come from here on. One that cannot be followed is left alone.
 */
export async function findSubAgents(
  rpc: Pick<Rpc, 'call'>,
  threadId: string,
  conversation: Pick<Conversation, 'subAgentFound'>,
): Promise<void> {
  const ask = (method: string, params: object) => rpc.call(method, params, { timeoutMs: CALL_MS });
  try {
    const { data } = readResult('thread/loaded/list', await ask('thread/loaded/list', {}));
    for (const other of data) {
      if (other === threadId) continue;
      const resumed = readResult(
        'thread/resume',
        await ask('thread/resume', { threadId: other, excludeTurns: true, approvalsReviewer: 'user' }),
      );
      if (resumed.thread.status.type !== 'active') continue;
      const turns = await ask('thread/turns/list', { threadId: other, limit: 1, sortDirection: 'desc' });
      const [newest] = readResult('thread/turns/list', turns).data;
      conversation.subAgentFound(other, newest?.id ?? null);
    }
  } catch {
    // It ended meanwhile, or this codex tells nothing of it.
  }
}
