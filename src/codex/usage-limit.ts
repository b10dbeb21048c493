import { isRecord } from './narrow.js';
import type { GetAccountRateLimitsResponse, RateLimitSnapshot } from './protocol.js';

/** Why an account may not be used now, by fields of codex and its backend; never taken from a text. */
export type UsageLimit =
  /** A full window, or a spent allowance, ends then; milliseconds since the epoch. */
  | { kind: 'reset'; limitId: string | null; resetsAt: number }
  /** The account was refused though by this clock the limit has ended, or nobody can say just now when it does. */
  | { kind: 'overdue'; limitId: string | null }
  /** The credits of its workspace are spent: it works again once somebody buys some. */
  | { kind: 'credits'; limitId: string | null }
  /** A limit that an administrator set is reached. */
  | { kind: 'spending'; limitId: string | null }
  /** Nothing says which limit it is: the plan may have changed. */
  | { kind: 'unknown'; limitId: string | null };

/** What a limit leads to. */
export interface HoldOut {
  /**
   * For how long nobody leases the seed: until the reset, or for a pause that doubles with each refusal in a row.
   * Milliseconds.
   */
  readonly pause: 'until-reset' | { readonly firstMs: number; readonly lastMs: number };
  /** What happens to a task without a seed, for which there is no other account. */
  readonly withoutSeed: 'waits' | 'fails';
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const FOR_HOURS = { pause: { firstMs: HOUR_MS, lastMs: 6 * HOUR_MS }, withoutSeed: 'fails' } as const;

export const HOLD_OUTS: { readonly [K in UsageLimit['kind']]: HoldOut } = {
  reset: { pause: 'until-reset', withoutSeed: 'waits' },
  overdue: { pause: { firstMs: MINUTE_MS, lastMs: HOUR_MS }, withoutSeed: 'waits' },
  credits: FOR_HOURS,
  spending: FOR_HOURS,
  unknown: FOR_HOURS,
};

/** No window of codex is as long; a later time is none. */
const LATEST_MS = 400 * 24 * HOUR_MS;

/** How long the hold-out after the `times`th refusal in a row is. Milliseconds. */
export function pauseOf({ firstMs, lastMs }: { firstMs: number; lastMs: number }, times: number): number {
  return Math.min(firstMs * 2 ** Math.min(Math.max(times - 1, 0), 30), lastMs);
}

/** When an account may be asked again that was refused `times` times in a row, milliseconds since the epoch. */
export function heldOutUntil(limit: UsageLimit, times: number, nowMs: number): number {
  const { pause } = HOLD_OUTS[limit.kind];
  if (pause !== 'until-reset') return nowMs + pauseOf(pause, times);
  return limit.kind === 'reset' ? limit.resetsAt : nowMs;
}

/**
 * What of a snapshot keeps an account from being used; null: it names nothing.
 * @param snapshot of the limit that refused
 */
export function limitIn(snapshot: RateLimitSnapshot, nowMs: number): UsageLimit | null {
  const { limitId = null, primary, secondary, individualLimit, spendControlReached } = snapshot;
  const isSpent = spendControlReached === true || individualLimit?.remainingPercent === 0;
  const full = [primary, secondary].filter(isFull);
  const ends = [...full, ...(isSpent ? [individualLimit] : [])]
    .map((each) => msOf(each?.resetsAt))
    .filter((atMs) => atMs !== null && atMs < nowMs + LATEST_MS) as number[];
  const resetsAt = Math.max(...ends);
  if (resetsAt > nowMs) return { kind: 'reset', limitId, resetsAt };
  const reached = String(snapshot.rateLimitReachedType ?? '');
  if (reached.endsWith('_credits_depleted')) return { kind: 'credits', limitId };
  if (ends.length > 0) return { kind: 'overdue', limitId };
  if (isSpent || reached.endsWith('_usage_limit_reached')) return { kind: 'spending', limitId };
  return full.length > 0 || reached !== '' ? { kind: 'unknown', limitId } : null;
}

/** What keeps an account from being used, by what its backend said of it; null: nothing. */
export function limitNow(
  { rateLimits, ordinaryUsageAllowed }: GetAccountRateLimitsResponse,
  nowMs: number,
): UsageLimit | null {
  const { spendControlReached, rateLimitReachedType } = rateLimits;
  if (!rateLimitReachedType && spendControlReached !== true && hasCredits(rateLimits)) return null;
  const limitId = rateLimits.limitId ?? null;
  return limitIn(rateLimits, nowMs) ?? (ordinaryUsageAllowed === false ? { kind: 'unknown', limitId } : null);
}

/** Whether an answer says how much is used: without that it is no proof that there is room. */
export const tellsUsage = ({ rateLimits }: GetAccountRateLimitsResponse): boolean =>
  hasCredits(rateLimits) || [rateLimits.primary, rateLimits.secondary].some((each) => isUsed(each) !== null);

/** Codex's name of the limit that every model counts against. */
const WHOLE_ACCOUNT = 'codex';

/** Whether these limits are of the whole account, and not of one model. */
export const isOfAccount = ({ limitId }: RateLimitSnapshot): boolean =>
  (limitId ?? WHOLE_ACCOUNT) === WHOLE_ACCOUNT;

/**
 * What is known of an account's limits after codex said more of them: what it leaves out it does not know just now, so
 * that an earlier window stays. Why a request was refused counts for that request alone.
 */
export const mergeLimits = (known: RateLimitSnapshot | null, said: RateLimitSnapshot): RateLimitSnapshot => ({
  ...said,
  primary: windowIn(said.primary) ?? known?.primary ?? null,
  secondary: windowIn(said.secondary) ?? known?.secondary ?? null,
  credits: said.credits ?? known?.credits ?? null,
});

/** With credits a full window keeps nobody. */
function hasCredits({ credits }: RateLimitSnapshot): boolean {
  if (!credits) return false;
  return credits.unlimited || (credits.hasCredits && credits.balance !== '0');
}

const isUsed = (window: unknown): number | null =>
  isRecord(window) && typeof window['usedPercent'] === 'number' ? window['usedPercent'] : null;
const windowIn = (window: RateLimitSnapshot['primary']) => (isUsed(window) === null ? null : window);
const isFull = (window: unknown): boolean => (isUsed(window) ?? 0) >= 100;
const msOf = (seconds: unknown): number | null =>
  typeof seconds === 'number' && seconds > 0 ? seconds * 1_000 : null;
