import type { ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE, type TokenUsage } from '../../contract/index.js';
import type { EventSinks } from './event-router.js';
import type { Journal } from '../../journal/journal.js';
import type { MessageQueue } from './message-queue.js';
import type { PermissionGate } from './permission-gate.js';
import { sum, type SubAgents } from './sub-agents.js';
import type { TurnItems } from './turn-items.js';
import type { UsageLimits } from './usage-limit.js';
import type { TurnQueue } from './turn-queue.js';

/** What a thread has come to. */
export interface Progress {
  /** Completed ones. */
  turns: number;
  usage: TokenUsage;
  /** The last agent message of the last turn. */
  finalMessage: string | null;
  lastError?: string;
}

/** The parts of a thread that its events concern. */
export interface EventParts {
  readonly gate: PermissionGate;
  readonly items: TurnItems;
  readonly line: TurnQueue;
  readonly queue: MessageQueue;
  readonly journal: Pick<Journal, 'append'>;
  readonly progress: Progress;
  readonly limits: UsageLimits;
  readonly agents: SubAgents;
}

/** Has each part hear of the events that concern it, in the order that it needs. */
export function sinksOf(parts: EventParts): Omit<EventSinks, 'modelSeen'> {
  const { gate, items, line, queue, journal, progress, limits, agents } = parts;
  let own = progress.usage;
  const count = () => (progress.usage = sum(own, agents.usage));
  const reasonNow = () => line.turn?.interruptReason ?? agents.interruptReason;
  count();
  return {
    turnStarted({ id }) {
      progress.finalMessage = null;
      limits.turnBegan();
      line.started(id);
    },
    turnCompleted(turn, raw) {
      if (line.turn?.id === turn.id) line.turn.completed(turn, raw);
      else journal.append(raw);
    },
    itemStarted: (item) => items.started(item),
    itemCompleted(item) {
      items.completed(item);
      const clientId = clientIdOf(item);
      if (clientId !== null) {
        queue.arrived(clientId);
        line.turn?.messageIds.add(clientId);
      }
      if (item.type === 'agentMessage' && 'text' in item) progress.finalMessage = item.text;
      agents.itemSeen(item);
      gate.itemEnded(item);
      line.turn?.itemEnded();
    },
    requestResolved: (id) => gate.resolved(id, reasonNow()),
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
          return gate.itemEnded(params.item);
        case 'turn/started':
          return agents.began(threadId, params.turn.id);
        case 'turn/completed':
          gate.turnEnded(threadId, params.turn.status, reasonNow() ?? 'turn-ended');
          return agents.ended(threadId);
        case 'thread/status/changed':
          return agents.statusSeen(threadId, params.status);
        case 'serverRequest/resolved':
          return gate.resolved(params.requestId, reasonNow());
        case 'thread/tokenUsage/updated':
          agents.usageSeen(threadId, params.tokenUsage.total);
          return void count();
        default:
          return;
      }
    },
    rateLimitsSeen: (seen) => limits.saw(seen),
    failed: (message) => (progress.lastError = message),
  };
}

const clientIdOf = (item: ThreadItem): string | null =>
  item.type === 'userMessage' && 'clientId' in item ? (item.clientId ?? null) : null;
