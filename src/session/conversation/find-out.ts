import type { TurnOutcome } from '../recall/turn-outcome.js';
import type { OutputRule } from './output-rule.js';
import type { UsageLimits } from './usage-limit.js';

interface Asked {
  readonly limits: Pick<UsageLimits, 'ended' | 'heldOut'>;
  readonly output: Pick<OutputRule, 'judge'>;
}

/**
 * What there is to find out of the newest turn before another begins, which is added to its outcome: until when its account
 * is held out, whether what it answered fits. Null: nothing.
 */
export function findOut(
  last: TurnOutcome | null,
  { limits, output }: Asked,
  isClosing: boolean,
): Promise<Partial<TurnOutcome>> | null {
  if (!last || last.heldOut) return null;
  if (limits.ended(last)) return limits.heldOut().then((heldOut) => (heldOut ? { heldOut } : {}));
  return output.judge(last, isClosing);
}
