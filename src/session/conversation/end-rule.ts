import type { BadOutputDetails, Outcome, TaskMode } from '../../contract/index.js';
import type { ErrorCode } from '../../errors.js';
import type { SessionEnd } from '../../contract/activities.js';
import type { TurnOutcome, HeldOut } from '../recall/turn-outcome.js';
import { badOutput } from './bad-output.js';

/** How a session ended, seen from the host. */
export type ThreadEnd =
  | { kind: Outcome }
  | { kind: 'failed'; code: ErrorCode; message: string; details?: BadOutputDetails }
  /** The account is out of quota, and the turn has to be repeated. */
  | Extract<SessionEnd['end'], { kind: 'limited' }>;

/**
 * Decides the end of the session when no turn runs and no message waits; null: it waits for a message.
 * @param last the newest turn; null when there was none yet
 * @param verdict how the agent ended the task
 */
export function endWhenIdle(
  mode: TaskMode,
  closing: boolean,
  last: TurnOutcome | null,
  turnMs: number,
  verdict: ThreadEnd | null = null,
): ThreadEnd | null {
  if (closing) return { kind: 'closed' };
  if (verdict)
    return verdict.kind === 'completed' && last?.badOutput ? badOutputEnd(last.badOutput) : verdict;
  if (last?.heldOut && last.id !== null) return limited(last.id, last.heldOut);
  if (mode === 'conversation' || last === null) return null;
  if (last.timedOut) return turnTimedOut(turnMs);
  if (last.badOutput) return badOutputEnd(last.badOutput);
  if (last.status === 'completed' || last.status === 'interrupted') return { kind: last.status };
  const message = `The turn failed: ${last.error ?? 'codex gave no reason'}`;
  return { kind: 'failed', code: 'CodexFailed', message };
}

/** Decides the end for a turn that Codex does not end although it was interrupted at its limit. */
export const endWhenStuck = (mode: TaskMode, turnMs: number): ThreadEnd =>
  mode === 'task'
    ? turnTimedOut(turnMs)
    : {
        kind: 'failed',
        code: 'CodexFailed',
        message: `codex does not end a turn that ran longer than ${turnMs} ms and was interrupted`,
      };

const badOutputEnd = (details: BadOutputDetails): ThreadEnd => ({
  kind: 'failed',
  code: 'BadOutput',
  message: badOutput(details.faults),
  details,
});

const limited = (turnId: string, { limit, times, until }: HeldOut): ThreadEnd => ({
  kind: 'limited',
  turnId,
  resetsAt: new Date(until).toISOString(),
  limit: { kind: limit.kind, limitId: limit.limitId, times },
});

const turnTimedOut = (turnMs: number): ThreadEnd => ({
  kind: 'failed',
  code: 'TurnTimedOut',
  message: `The turn ran longer than ${turnMs} ms and was interrupted`,
});
