import { isRecord, readResult } from '../../codex/narrow.js';
import type { RateLimitSnapshot } from '../../codex/protocol.js';
import type { CodexCalls } from './codex-calls.js';
import type { TurnOutcome } from './end-rule.js';

const READ_MS = 10_000;
/** Used where codex names a time that has passed, and the limit still holds. Milliseconds. */
const ONCE_MORE_MS = 60_000;
/** No window of codex is as long; a later time is none. */
const LATEST_MS = 400 * 24 * 3_600_000;

/** What codex says when a turn failed because the account is out of quota (0.169.0). */
const OUT_OF_QUOTA = 'usageLimitExceeded';
/** Failures that mean the same when one of the account's windows is full. */
const TOO_MANY = new Set(['rateLimitExceeded', 'responseTooManyFailedAttempts']);

/** What is known of the account's limits in the present turn. */
export interface UsageLimits {
  turnBegan(): void;
  saw(limits: RateLimitSnapshot): void;
  /** Whether a turn ended because of a limit. */
  ended(turn: TurnOutcome): boolean;
  /** When the account can go on, in milliseconds since the epoch; null: codex does not know. */
  resetsAt(): Promise<number | null>;
}

/**
 * Follows the rate limits that codex tells; where a turn told no full window the account's are asked for.
 * @param recalled what an earlier process saw of the newest turn
 */
export function followUsageLimits(
  codex: Pick<CodexCalls, 'call'>,
  recalled: readonly RateLimitSnapshot[] = [],
): UsageLimits {
  let seen = [...recalled];
  return {
    turnBegan: () => void (seen = []),
    saw: (limits) => void seen.push(limits),
    ended: ({ status, errorKind = '' }) =>
      status === 'failed' &&
      (errorKind === OUT_OF_QUOTA || (TOO_MANY.has(errorKind) && resetOf(seen, Date.now()) !== null)),
    resetsAt: async () => resetOf(seen, Date.now()) ?? resetOf(await readLimits(codex), Date.now()),
  };
}

/** Codex answers only where the account is one of ChatGPT's. */
async function readLimits(codex: Pick<CodexCalls, 'call'>): Promise<RateLimitSnapshot[]> {
  try {
    const method = 'account/rateLimits/read';
    return [readResult(method, await codex.call(method, {}, { timeoutMs: READ_MS })).rateLimits];
  } catch {
    return [];
  }
}

/**
 * When the last of the full windows is reset, in milliseconds since the epoch; null: none is full, or none says
 * when. The newest snapshot of each limit counts.
 */
export function resetOf(snapshots: readonly RateLimitSnapshot[], nowMs: number): number | null {
  const newest = new Map(snapshots.map((each) => [each.limitId ?? null, each]));
  const times = [...newest.values()]
    .flatMap(({ primary, secondary }) => [primary, secondary])
    .map((window: unknown) => resetOfWindow(window))
    .filter((atMs) => atMs !== null && atMs < nowMs + LATEST_MS) as number[];
  if (times.length === 0) return null;
  const last = Math.max(...times);
  return last > nowMs ? last : nowMs + ONCE_MORE_MS;
}

function resetOfWindow(window: unknown): number | null {
  if (!isRecord(window)) return null;
  const { usedPercent, resetsAt } = window;
  const isFull = typeof usedPercent === 'number' && usedPercent >= 100;
  return isFull && typeof resetsAt === 'number' && resetsAt > 0 ? resetsAt * 1_000 : null;
}
