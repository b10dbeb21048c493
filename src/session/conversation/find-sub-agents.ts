import type { Rpc } from '../../codex/rpc.js';
import type { SubAgents } from './sub-agents.js';

const CALL_MS = 30_000;

/**
 * Finds and follows the sub-agents of a Codex that an earlier worker left running, with their events and open
 * requests. Ignores one that cannot be followed.
 */
export async function findSubAgents(
  rpc: Pick<Rpc, 'call'>,
  threadId: string,
  agents: Pick<SubAgents, 'began'>,
): Promise<void> {
  const options = { timeoutMs: CALL_MS };
  try {
    const { data } = await rpc.call('thread/loaded/list', {}, options);
    for (const other of data) {
      if (other === threadId) continue;
      const wanted = { threadId: other, excludeTurns: true, approvalsReviewer: 'user' } as const;
      const resumed = await rpc.call('thread/resume', wanted, options);
      if (resumed.thread.status.type !== 'active') continue;
      const page = { threadId: other, limit: 1, sortDirection: 'desc' } as const;
      const [newest] = (await rpc.call('thread/turns/list', page, options)).data;
      agents.began(other, newest?.id ?? null);
    }
  } catch {
    // It ended meanwhile, or this Codex does not list it.
  }
}
