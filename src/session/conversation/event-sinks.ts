import type { ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE, type TokenUsage } from '../../contract.js';
import type { EventSinks } from './event-router.js';
import type { Journal } from '../records/journal.js';
import type { MessageQueue } from '../records/message-queue.js';
import type { PermissionGate } from './permission-gate.js';
import type { TurnItems } from './turn-items.js';
import type { UsageLimits } from './usage-limit.js';
import type { TurnLine } from './turn-line.js';

/** What a thread has come to. */
export interface Progress {
  /** Completed ones. */
  turns: number;
  usage: TokenUsage;
  /** The last agent message of the last turn. */
  finalMessage: string | null;
  lastError?: string;
}

/** The parts of a conversation that its events concern. */
export interface EventParts {
  readonly gate: PermissionGate;
  readonly items: TurnItems;
  readonly line: TurnLine;
  readonly queue: MessageQueue;
  readonly journal: Pick<Journal, 'append'>;
  readonly progress: Progress;
  readonly limits: UsageLimits;
}

/** Has each part hear of the events that concern it, in the order that it needs. */
export function sinksOf(parts: EventParts): Omit<EventSinks, 'modelSeen'> {
  const { gate, items, line, queue, journal, progress, limits } = parts;
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
      if (clientId !== null) queue.arrived(clientId);
      if (item.type === 'agentMessage' && 'text' in item) progress.finalMessage = item.text;
      gate.itemEnded(item);
      line.turn?.itemEnded();
    },
    requestResolved: (id) => gate.resolved(id, line.turn?.interruptReason ?? null),
    usageSeen: (total) => (progress.usage = { ...NO_USAGE, ...total }),
    rateLimitsSeen: (seen) => limits.saw(seen),
    failed: (message) => (progress.lastError = message),
  };
}

const clientIdOf = (item: ThreadItem): string | null =>
  item.type === 'userMessage' && 'clientId' in item ? (item.clientId ?? null) : null;
