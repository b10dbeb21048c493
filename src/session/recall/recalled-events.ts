import type { RateLimitSnapshot, ThreadItem } from '../../codex/protocol.js';
import { NO_USAGE } from '../../contract/index.js';
import type { TokenUsage } from '../../contract/index.js';
import type { TurnOutcome } from './turn-outcome.js';

/** What a task's events tell about its thread, for an adopting worker. */
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
  /** The turn that a stopping worker or a usage limit ended: it is in the journal and has to be repeated. */
  suspended: string | null;
  /** Limits of the account that Codex reported since the newest turn began. */
  rateLimits: RateLimitSnapshot[];
  /** Items that began in it and did not end; a message with its text so far. */
  readonly openItems: Map<string, ThreadItem>;
  readonly endedTurns: Set<string>;
  readonly endedItems: Set<string>;
  /** Announced requests, and whether they have ended. */
  readonly requests: Map<string, 'open' | 'ended'>;
  /** The turn that each message of ours came into. */
  readonly messages: Map<string, string>;
}

/** State before the first event. */
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
