import type { ThreadItem, ThreadTurnsListResponse, Turn } from '../../codex/protocol.js';
import type { Rpc } from '../../codex/rpc.js';
import { RpcError } from '../../codex/rpc-errors.js';
import type { Thread } from '../conversation/thread.js';
import type { RecalledEvents } from '../recall/recalled-events.js';

const PAGE = 20;
const CALL_MS = 30_000;

/**
 * Catches up with what happened without a connection: items of Codex that the journal lacks become events, in order
 * and once, marked as caught up. A running turn continues.
 * @param restarted Codex is a new process: its running turn is reverted, and the messages are sent again once
 */
export async function catchUp(
  rpc: Rpc,
  threadId: string,
  thread: Thread,
  recalled: RecalledEvents,
  restarted: boolean,
): Promise<void> {
  const missed = await missedTurns(rpc, threadId, recalled);
  const isBroken = ({ id, status }: Turn) =>
    restarted && (status !== 'completed' || id === recalled.suspended);
  const inThread = messagesIn(missed.filter((turn) => !isBroken(turn)));
  for (const [messageId, turnId] of recalled.messages)
    if (turnId !== recalled.openTurn && turnId !== recalled.suspended) inThread.add(messageId);
  for (const turn of missed) {
    const broken = isBroken(turn);
    if (broken) await revert(rpc, threadId, turn);
    if (turn.id === recalled.suspended) await thread.sendAgain(turn.id, clientIdsOf(turn));
    else await replay(thread, threadId, turn, recalled, broken);
  }
  const unfinished = recalled.openTurn ?? recalled.suspended;
  if (unfinished !== null && !missed.some(({ id }) => id === unfinished)) {
    // Codex lost it, or it was reverted and its repetition is missing.
    const messages = [...recalled.messages].filter(([, turnId]) => turnId === unfinished);
    const messageIds = messages.map(([messageId]) => messageId);
    if (recalled.openTurn === null) await thread.sendAgain(unfinished, messageIds);
    else await replay(thread, threadId, emptyTurn(unfinished), recalled, true, messageIds);
  }
  thread.decideUnconfirmed((messageId) => inThread.has(messageId));
}

/** Whether a notification that arrived meanwhile has been caught up already. */
export function isCaughtUp(recalled: RecalledEvents, method: string, params: unknown): boolean {
  const { item, turn } = (params ?? {}) as { item?: { id?: string }; turn?: { id?: string } };
  if (method === 'item/completed') return recalled.endedItems.has(item?.id ?? '');
  if (method === 'turn/started' || method === 'turn/completed')
    return recalled.endedTurns.has(turn?.id ?? '');
  return false;
}

/** Turns of the thread whose end is not in the journal, oldest first. */
async function missedTurns(rpc: Rpc, threadId: string, recalled: RecalledEvents): Promise<Turn[]> {
  const missed: Turn[] = [];
  let cursor: string | null = null;
  do {
    const params = { threadId, cursor, limit: PAGE, sortDirection: 'desc', itemsView: 'full' } as const;
    const page: ThreadTurnsListResponse = await rpc
      .call('thread/turns/list', params, { timeoutMs: CALL_MS })
      .catch((error: unknown) => (isBeforeFirstTurn(error) ? NO_TURNS : Promise.reject(error as Error)));
    for (const turn of page.data) {
      if (recalled.endedTurns.has(turn.id)) return missed.reverse();
      missed.push(turn);
    }
    cursor = page.nextCursor ?? null;
  } while (cursor !== null);
  return missed.reverse();
}

/** A thread without a first message has no list of turns. */
const isBeforeFirstTurn = (error: unknown): boolean =>
  error instanceof RpcError && /not materialized yet/.test(error.message);
const NO_TURNS = { data: [], nextCursor: null };

/** Hides a turn that broke off with its process from the model: the same messages come as a new turn. */
async function revert(rpc: Rpc, threadId: string, turn: Turn): Promise<void> {
  await rpc.call('thread/revert', { threadId, beforeTurnId: turn.id }, { timeoutMs: CALL_MS });
}

async function replay(
  thread: Thread,
  threadId: string,
  turn: Turn,
  recalled: RecalledEvents,
  broken: boolean,
  messageIds = clientIdsOf(turn),
): Promise<void> {
  const feed = (method: string, more: object) => {
    const params = { threadId, ...more };
    thread.router.route(
      method,
      params,
      JSON.stringify({ method, params, 'x-optio-caught-up': true, 'x-optio-at': Date.now() }),
    );
  };
  const { items, ...bare } = turn;
  if (turn.id === recalled.openTurn) thread.takeUp(turn.id, [...recalled.openItems.values()]);
  else feed('turn/started', { turn: { ...bare, items: [], status: 'inProgress' } });
  for (const item of items)
    if (!recalled.endedItems.has(item.id) && hasEnded(item))
      feed('item/completed', { turnId: turn.id, item });
  // Written before its end is in the journal, after which nobody looks for its messages.
  if (broken) await thread.sendAgain(turn.id, messageIds);
  if (!broken && turn.status === 'inProgress') return;
  recalled.endedTurns.add(turn.id);
  feed('turn/completed', { turn: { ...bare, items: [], ...(broken && { status: 'interrupted' }) } });
}

const messagesIn = (turns: readonly Turn[]): Set<string> => new Set(turns.flatMap(clientIdsOf));

const emptyTurn = (id: string): Turn => ({ id, items: [], status: 'interrupted', error: null });

const hasEnded = (item: ThreadItem): boolean => !('status' in item) || item.status !== 'inProgress';

const clientIdsOf = ({ items }: Turn): string[] => items.flatMap((item) => clientIdOf(item) ?? []);

const clientIdOf = (item: ThreadItem): string | null =>
  item.type === 'userMessage' && 'clientId' in item ? (item.clientId ?? null) : null;
