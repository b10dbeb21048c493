import type { Countdown } from './countdown.js';
import type { ThreadEnd } from './end-rule.js';
import type { RunningTurn } from './running-turn.js';

/** Where a queue of turns stands: it waits for its beginning, or for a message, or something runs, or it is over. */
export type Phase =
  | { kind: 'waiting' }
  | { kind: 'idle'; limit: Countdown | null }
  | { kind: 'turn'; turn: RunningTurn }
  /** A turn has ended, and the work after it has not. */
  | { kind: 'between' }
  | { kind: 'ended'; end: ThreadEnd }
  /** Another session took its place. */
  | { kind: 'superseded' };
