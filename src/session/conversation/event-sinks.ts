import type { ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE, type TokenUsage } from '../../contract/index.js';
import type { EventSinks } from './event-router.js';
import type { Journal } from '../../journal/journal.js';
import type { MessageQueue } from './message-queue.js';
import type { Answered } from './output-rule.js';
import type { PermissionGate } from './permission-gate.js';
import { sum, type SubAgents } from './sub-agents.js';
import type { TurnItems } from './turn-items.js';
import type { UsageLimits } from './usage-limit.js';
import type { TurnQueue } from './turn-queue.js';

/** Progress of a thread. */
export interface ThreadTotals extends Answered {
  /** Count of completed turns. */
  turns: number;
  usage: TokenUsage;
}

/** Parts of the thread that its events concern. */
export interface EventParts {
  readonly permissions: PermissionGate;
  readonly items: TurnItems;
  readonly turns: TurnQueue;
  readonly queue: MessageQueue;
  readonly journal: Pick<Journal, 'append'>;
  readonly totals: ThreadTotals;
  readonly limits: UsageLimits;
  readonly agents: SubAgents;
}

/** Calls each part for the events that concern it, in the order that it needs. */
export function sinksOf(parts: EventParts): Omit<EventSinks, 'modelSeen'> {
  const { permissions, items, turns, queue, journal, totals, limits, agents } = parts;
  let own = totals.usage;
  const count = () => (totals.usage = sum(own, agents.usage));
  const reasonNow = () => turns.turn?.interruptReason ?? agents.interruptReason;
  count();
  return {
    turnStarted({ id }) {
      totals.finalMessage = null;
      totals.output = undefined;
      limits.turnBegan();
      turns.started(id);
    },
    turnCompleted(turn, raw) {
      if (turns.turn?.id === turn.id) turns.turn.completed(turn, raw);
      else journal.append(raw);
    },
    itemStarted: (item) => items.started(item),
    itemCompleted(item) {
      items.completed(item);
      const clientId = clientIdOf(item);
      if (clientId !== null) {
        queue.arrived(clientId);
        turns.turn?.messageIds.add(clientId);
      }
      if (item.type === 'agentMessage' && 'text' in item) totals.finalMessage = item.text;
      agents.itemSeen(item);
      permissions.itemEnded(item);
      turns.turn?.itemEnded();
    },
    requestResolved: (id) => permissions.resolved(id, reasonNow()),
    usageSeen(total) {
      own = { ...NO_USAGE, ...total };
      count();
    },
    otherThread(threadId, { method, params }) {
      switch (method) {
        case 'item/started':
          return items.known(params.item);
        case 'item/completed':
          agents.itemSeen(params.item);
          return permissions.itemEnded(params.item);
        case 'turn/started':
          return agents.began(threadId, params.turn.id);
        case 'turn/completed':
          permissions.turnEnded(threadId, params.turn.status, reasonNow() ?? 'turn-ended');
          return agents.ended(threadId);
        case 'thread/status/changed':
          return agents.statusSeen(threadId, params.status);
        case 'serverRequest/resolved':
          return permissions.resolved(params.requestId, reasonNow());
        case 'thread/tokenUsage/updated':
          agents.usageSeen(threadId, params.tokenUsage.total);
          return void count();
        default:
          return;
      }
    },
    rateLimitsSeen: (seen) => limits.saw(seen),
    failed: (message) => (totals.lastError = message),
  };
}

const clientIdOf = (item: ThreadItem): string | null =>
  item.type === 'userMessage' && 'clientId' in item ? (item.clientId ?? null) : null;
