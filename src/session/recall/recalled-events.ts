import type { RateLimitSnapshot, ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE } from '../../contract/index.js';
import type { TokenUsage } from '../../contract/index.js';
import type { TurnOutcome } from './turn-outcome.js';

/** What a task's events tell of its thread, for a worker that takes it up again. */
export interface RecalledEvents {
  /** Completed turns of this task. */
  turns: number;
  usage: TokenUsage;
  /** Of other threads, by their ids. */
  otherUsage?: Record<string, TokenUsage>;
  finalMessage: string | null;
  lastTurn: TurnOutcome | null;
  /** The newest turn of which was told that its answer does not fit. */
  refusedTurn?: string;
  /** The turn that began and did not end. */
  openTurn: string | null;
  /** The turn that a stopping worker or a usage limit ended; that is in the journal, its work is to be done again. */
  suspended: string | null;
  /** What codex told of the account's limits since the newest turn began. */
  rateLimits: RateLimitSnapshot[];
  /** What began in it and did not end; a message with the text that its deltas brought so far. */
  readonly openItems: Map<string, ThreadItem>;
  readonly endedTurns: Set<string>;
  readonly endedItems: Set<string>;
  /** The requests that were announced, and whether their end was. */
  readonly requests: Map<string, 'open' | 'ended'>;
  /** The turn that each message of ours came into. */
  readonly messages: Map<string, string>;
}

/** What is known before the first event. */
export const nothingRecalled = (): RecalledEvents => ({
  turns: 0,
  usage: NO_USAGE,
  finalMessage: null,
  lastTurn: null,
  openTurn: null,
  suspended: null,
  rateLimits: [],
  openItems: new Map(),
  endedTurns: new Set(),
  endedItems: new Set(),
  requests: new Map(),
  messages: new Map(),
});
