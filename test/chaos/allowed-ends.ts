import type { ErrorCode } from '../../src/errors.js';
import { isLong, isOfCodex, type Fault } from './faults-of-chaos.js';
import type { Hit, MessageKind } from './plan.js';

/** What hit the host of a task while it ran, and which of it was at the task's own points. */
export interface Suffered {
  own: readonly Hit[];
  all: readonly Hit[];
  messages: readonly MessageKind[];
  /** How often the guard stopped its codex. */
  fenced: number;
}

const KILLS_CODEX: readonly Fault[] = ['kill-codex', 'kill-both'];

/**
 * The failures with which a task may end for what was done to it; for anything else it must come to its own end, after
 * an outage of any length too: nobody else has its seed.
 * - A refresh token that its server has taken, and whose successor codex could not write, is gone with its account.
 * - A full disk: codex or the journal cannot write.
 */
export function allowedEnds({ own, all, messages }: Suffered): ErrorCode[] {
  const hit = (fault: Fault) => all.some((each) => each.fault === fault);
  const ends: ErrorCode[] = [];
  if (own.some(({ fault, phase }) => phase === 'refreshing' && KILLS_CODEX.includes(fault)))
    ends.push('CredentialDead');
  if (hit('disk-full')) {
    ends.push('CodexFailed', 'HostUnfit');
    if (messages.includes('refresh')) ends.push('CredentialDead');
  }
  return ends;
}

/** How often the task's running turn may have been broken, so that it was done again. */
export function breaksOf({ own, all, fenced }: Suffered): number {
  const byKill = own.filter(({ fault }) => KILLS_CODEX.includes(fault)).length;
  const byFence = all.filter(({ fault }) => isLong(fault) || fault === 'disk-full').length;
  // A worker that starts slowly on a busy machine may come after the end of its leases, also without a long fault.
  return byKill + Math.max(byFence, fenced);
}

/** Whether something was done that may keep a lease from its renewal, so that the guard stops codex. */
export const mayBeFenced = ({ all }: Suffered): boolean => all.some(({ fault }) => !isOfCodex(fault));
