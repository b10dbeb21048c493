import type { GetAccountRateLimitsResponse, RateLimitSnapshot } from '../../codex/protocol.js';
import { RpcError } from '../../codex/rpc-errors.js';
import { HOLD_OUTS, heldOutUntil, limitIn, type UsageLimit } from '../../codex/usage-limit.js';
import type { CodexCalls } from './codex-calls.js';
import type { TurnOutcome, HeldOut } from '../recall/turn-outcome.js';

const READ_MS = 10_000;

/** Codex's error of a turn that failed because the account is out of quota. */
const OUT_OF_QUOTA = 'usageLimitExceeded';
/** Errors that mean the same when a window of the refusing limit is full. */
const TOO_MANY = new Set(['rateLimitExceeded', 'responseTooManyFailedAttempts']);
/** How long a limit holds this task's account out; null: neither another account nor a reset is known. */
export type HoldOutRule = (limit: UsageLimit) => Promise<HeldOut | null>;

/** State of the account's limits in the present turn. */
export interface UsageLimits {
  turnBegan(): void;
  saw(limits: RateLimitSnapshot): void;
  /** Whether a turn ended because of a limit. */
  ended(turn: TurnOutcome): boolean;
  /** How long the limit that ended the turn holds the account out; null: nobody waits for it. */
  heldOut(): Promise<HeldOut | null>;
}

/**
 * Follows the rate limits that Codex reports. A refusal reports the refusing limit last in its turn; without a reset
 * time the account's limits are looked up.
 * @param recalled what an earlier process saw of the newest turn
 */
export function followUsageLimits(
  codex: Pick<CodexCalls, 'call'>,
  recalled: readonly RateLimitSnapshot[] = [],
  rule: HoldOutRule = (limit) => Promise.resolve(holdOutWithoutSeed(limit, 1)),
): UsageLimits {
  let seen = [...recalled];
  const told = (): UsageLimit | null => {
    const refused = seen.at(-1);
    return refused ? limitIn(refused, Date.now()) : null;
  };
  return {
    turnBegan: () => void (seen = []),
    saw: (limits) => void seen.push(limits),
    ended: ({ status, errorKind = '' }) =>
      status === 'failed' && (errorKind === OUT_OF_QUOTA || (TOO_MANY.has(errorKind) && told() !== null)),
    async heldOut() {
      const limit = told();
      if (limit && HAVE_TOLD_ALL.has(limit.kind)) return rule(limit);
      const limitId = seen.at(-1)?.limitId ?? null;
      const read = await readLimits(codex);
      // Reports while no worker listened are lost, and the account may be unreachable just now.
      if (read === 'not now' && seen.length === 0) return rule({ kind: 'overdue', limitId });
      const asked = read === 'not now' ? null : snapshotOf(read, limitId);
      const known = asked && limitIn(asked, Date.now());
      return rule(known ?? limit ?? { kind: 'unknown', limitId });
    },
  };
}

/** The account's backend could add nothing to them. */
const HAVE_TOLD_ALL: ReadonlySet<UsageLimit['kind']> = new Set(['reset', 'credits']);

/** The hold-out of a task without a seed that was refused `times` times in a row. */
export function holdOutWithoutSeed(limit: UsageLimit, times: number): HeldOut | null {
  if (HOLD_OUTS[limit.kind].withoutSeed === 'fails') return null;
  return { limit, times, until: heldOutUntil(limit, times, Date.now()) };
}

/** Codex's error for an account that is not of ChatGPT: it has no limits to read. */
const INVALID_REQUEST = -32600;

/** The limits as the account's backend reports them; null: there are none. `not now`: the query failed. */
async function readLimits(
  codex: Pick<CodexCalls, 'call'>,
): Promise<GetAccountRateLimitsResponse | 'not now' | null> {
  try {
    return await codex.call('account/rateLimits/read', {}, { timeoutMs: READ_MS });
  } catch (error) {
    return error instanceof RpcError && error.code === INVALID_REQUEST ? null : 'not now';
  }
}

/** The refusing limit; if unknown, Codex's own. */
function snapshotOf(
  read: GetAccountRateLimitsResponse | null,
  limitId: string | null,
): RateLimitSnapshot | null {
  if (!read) return null;
  const { rateLimits, rateLimitsByLimitId } = read;
  if (limitId === null || (rateLimits.limitId ?? limitId) === limitId) return rateLimits;
  return rateLimitsByLimitId?.[limitId] ?? null;
}
