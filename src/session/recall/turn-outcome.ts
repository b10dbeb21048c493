import type { UsageLimit } from '../../codex/usage-limit.js';
import type { BadOutputDetails } from '../../contract/index.js';

/** How a turn ended. */
export interface TurnOutcome {
  /** Codex's id; null when codex never began it. */
  readonly id: string | null;
  readonly status: string;
  readonly error: string | null;
  /** Codex's name for the failure. */
  readonly errorKind?: string;
  /** How long its account is held out; only after a turn that a usage limit ended. */
  readonly heldOut?: HeldOut;
  /** It ran longer than the task's limit. */
  readonly timedOut: boolean;
  /** The message that it began with, as far as is known. */
  readonly messageId?: string;
  /** What it answered does not fit, and is not corrected any more. */
  readonly badOutput?: BadOutputDetails;
}

/** How long an account is not asked again. */
export interface HeldOut {
  readonly limit: UsageLimit;
  /** Refusals in a row. */
  readonly times: number;
  /** Milliseconds since the epoch. */
  readonly until: number;
}
