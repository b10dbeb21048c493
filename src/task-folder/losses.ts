import type { LedgerRecord, Losses } from './ledger.js';

/** How often codex may end by itself in a row, without a completed turn between, before its task fails. */
export const MAX_LOSSES = 3;
/** The same for ends together with the worker's: what ended both may have been the host. */
export const MAX_JOINT_LOSSES = 10;

export const NO_LOSSES: Losses = { alone: 0, withWorker: 0 };

/**
 * What a task's ledger tells of its losses.
 * @param turns completed ones: a loss before the last of them does not count any more
 */
export function recallLosses(past: readonly LedgerRecord[], turns: number): Losses {
  const newest = past.findLast((each) => each.t === 'lost');
  return newest && newest.turns >= turns ? newest.losses : NO_LOSSES;
}

/**
 * The losses when a worker finds that codex is gone; null: an earlier worker stopped it. What was counted as an end
 * of codex alone, and nobody came to start it again, ended with the worker.
 */
export function lossWithWorker(past: readonly LedgerRecord[], turns: number): Losses | null {
  const newest = past.findLast(({ t }) => t === 'lost' || t === 'process' || t === 'stopped');
  if (newest?.t === 'stopped') return null;
  const { alone, withWorker } = recallLosses(past, turns);
  return { alone: newest?.t === 'lost' ? Math.max(alone - 1, 0) : alone, withWorker: withWorker + 1 };
}
