import { errorKind, isRecord } from '../../codex/narrow.js';
import type { CodexErrorInfo, RateLimitSnapshot, ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE, type TokenUsage } from '../../contract/index.js';
import type { Journal } from '../../journal/journal.js';
import { overdueTurns, type Ledger } from '../../task-folder/ledger.js';
import { readCheckpoint } from './recall-checkpoint.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import type { RecalledEvents } from './recalled-events.js';
import { nothingRecalled } from './recalled-events.js';

const READ_BYTES = 1024 * 1024;

/**
 * Reads a journal from its last checkpoint on, or all of it, and from the ledger whether the worker stopped during a
 * turn.
 */
export async function recallEvents(
  journal: Journal,
  ledger: Pick<Ledger, 'past'>,
  threadId: string,
  folder: Pick<TaskFolder, 'checkpoint'>,
): Promise<RecalledEvents> {
  const known = await readCheckpoint(folder.checkpoint, threadId, journal.lastId);
  const recalled = await recallMore(journal, threadId, known?.recalled, known?.after);
  const turnId = ledger.past.findLast((each) => each.t === 'suspended')?.turnId;
  const { lastTurn } = recalled;
  if (lastTurn?.id != null && overdueTurns(ledger.past).has(lastTurn.id))
    return { ...recalled, lastTurn: { ...lastTurn, timedOut: true } };
  if (turnId === undefined || lastTurn?.id !== turnId || lastTurn.status === 'completed') return recalled;
  // Its messages wait as if they had never been sent.
  if (ledger.past.some((each) => each.t === 'again' && each.turnId === turnId))
    return { ...recalled, lastTurn: null };
  recalled.endedTurns.delete(turnId);
  return { ...recalled, suspended: turnId, lastTurn: null };
}

/** Continues from `recalled` with the events after that id. */
export async function recallMore(
  journal: Pick<Journal, 'read'>,
  threadId: string,
  recalled = nothingRecalled(),
  afterId = 0,
): Promise<RecalledEvents> {
  for (let after = afterId; ;) {
    const frames = await journal.read(after, READ_BYTES);
    if (!frames) return recalled;
    after = frames.lastId;
    for (const line of frames.bytes.toString('utf8').split('\n'))
      if (line.startsWith('data: ') && !isOfNoUse(line)) note(recalled, line.slice(6), threadId);
  }
}

const ANSWERED = 'x-optio-permission-answered';
const REFUSED = 'x-optio-output-refused';
const OF_USE = [ANSWERED, REFUSED];
/** Most events that a worker makes itself tell nothing of the thread; in those the type comes first. */
const isOfNoUse = (line: string) =>
  line.startsWith('data: {"type":"x-optio-') &&
  !OF_USE.some((type) => line.startsWith(`data: {"type":"${type}"`));

function note(recalled: RecalledEvents, json: string, threadId: string): void {
  const event = parsed(json);
  if (!isRecord(event)) return;
  if (event['type'] === ANSWERED) recalled.requests.set(String(event['request_id']), 'ended');
  else if (event['type'] === REFUSED) recalled.refusedTurn = String(event['turnId']);
  else if (typeof event['method'] === 'string')
    noteEvent(recalled, event as unknown as RecallableEvent, threadId);
}

/** Counts a damaged event as missing, so that the task can be adopted. */
function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

/** The events are from this task's own journal, whose content was checked when it came. */
export interface RecallableEvent {
  method: string;
  /** A request has one. */
  id?: string;
  params?: {
    threadId?: string | null;
    turnId?: string;
    itemId?: string;
    delta?: string;
    item?: ThreadItem;
    turn?: { id: string; status: string; error?: TurnFailure | null };
    tokenUsage?: { total: Partial<TokenUsage> };
    rateLimits?: RateLimitSnapshot;
    // Remembers nothing of other events.
    success?: unknown;
    message?: unknown;
    summary?: unknown;
  };
  'x-optio-history'?: true;
}

type TurnFailure = { message?: string; codexErrorInfo?: CodexErrorInfo | null };

/** Adds one event. */
export function noteEvent(recalled: RecalledEvents, event: RecallableEvent, threadId: string): void {
  const { params, method, id } = event;
  // Counts sub-agents too.
  if (id !== undefined) recalled.requests.set(id, 'open');
  if (method === 'account/rateLimits/updated' && params?.rateLimits)
    recalled.rateLimits.push(params.rateLimits);
  if (!params) return;
  if (params.threadId !== threadId) {
    const { threadId: other, tokenUsage } = params;
    if (other && tokenUsage && method === 'thread/tokenUsage/updated')
      recalled.otherUsage = { ...recalled.otherUsage, [other]: { ...NO_USAGE, ...tokenUsage.total } };
    return;
  }
  const { item, turn } = params;
  const isHistory = event['x-optio-history'] === true;
  if (method === 'turn/started' && turn && !isHistory) {
    recalled.openTurn = turn.id;
    recalled.rateLimits = [];
    recalled.finalMessage = null;
  } else if (method === 'turn/completed' && turn) {
    recalled.endedTurns.add(turn.id);
    if (isHistory) return;
    if (turn.status === 'completed') recalled.turns++;
    recalled.openTurn = null;
    recalled.openItems.clear();
    recalled.lastTurn = {
      id: turn.id,
      status: turn.status,
      error: turn.error?.message ?? null,
      ...(turn.error && { errorKind: errorKind(turn.error.codexErrorInfo) }),
      timedOut: false,
    };
  } else if (method === 'item/started' && item) recalled.openItems.set(item.id, item);
  else if (method === 'item/agentMessage/delta' && params.itemId !== undefined) {
    const open = recalled.openItems.get(params.itemId);
    if (open?.type === 'agentMessage' && 'text' in open) open.text += params.delta ?? '';
  } else if (method === 'item/completed' && item) {
    recalled.openItems.delete(item.id);
    recalled.endedItems.add(item.id);
    if (item.type === 'userMessage' && 'clientId' in item && item.clientId && params.turnId)
      recalled.messages.set(item.clientId, params.turnId);
    if (item.type === 'agentMessage' && 'text' in item && !isHistory) recalled.finalMessage = item.text;
  } else if (method === 'thread/tokenUsage/updated' && params.tokenUsage)
    recalled.usage = { ...NO_USAGE, ...params.tokenUsage.total };
}
