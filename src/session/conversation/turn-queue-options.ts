import type { CutTurns } from './interrupts.js';
import type { OutputRule } from './output-rule.js';
import type { TurnOptions } from './running-turn.js';
import type { SendOptions } from './send-message.js';
import type { SubAgents } from './sub-agents.js';
import type { UsageLimits } from './usage-limit.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';

/** Inputs of a turn queue. */
export interface TurnQueueOptions extends Omit<TurnOptions, 'onOver' | 'onStuck'>, SendOptions {
  readonly limits: UsageLimits;
  readonly output: OutputRule;
  /** Threads that may work while no turn of this one runs. */
  readonly agents: SubAgents;
  /** Whether a request waits for its decision. */
  readonly isAsking: () => boolean;
  /** Milliseconds. */
  readonly idleMs: number;
  readonly onTurnOver: (outcome: TurnOutcome) => void;
  /** Called when the session continues and nothing runs or waits. */
  readonly onIdle: () => void;
  /** Whether something else must be settled before the session ends by itself. */
  readonly holds?: (() => boolean) | undefined;
  /** Awaited after each turn, before another begins. Never rejects. */
  readonly betweenTurns?: () => Promise<void>;
  /** Turns to interrupt as soon as they have begun. */
  readonly cut: CutTurns;
}
