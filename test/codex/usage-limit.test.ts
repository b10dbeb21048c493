import { describe, expect, it, test } from 'vitest';
import type { RateLimitSnapshot } from '../../src/codex/protocol.js';
import { HOLD_OUTS, heldOutUntil, limitIn, limitNow, type UsageLimit } from '../../src/codex/usage-limit.js';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const inHours = (hours: number) => NOW / 1_000 + hours * 3_600;
const window = (usedPercent: unknown, resetsAt: unknown) => ({ usedPercent, resetsAt }) as never;
const spent = (resetsAt: unknown) => ({ remainingPercent: 0, resetsAt }) as never;
const NO_CREDITS = { hasCredits: false, unlimited: false, balance: '0' };

describe('a usage limit', () => {
  test.each<[string, RateLimitSnapshot, Partial<UsageLimit> | null]>([
    [
      'a full window, until its reset',
      { primary: window(100, inHours(1)) },
      { kind: 'reset', resetsAt: NOW + HOUR_MS },
    ],
    [
      'two full windows, until the last reset',
      { primary: window(100, inHours(1)), secondary: window(100, inHours(50)) },
      { kind: 'reset', resetsAt: NOW + 50 * HOUR_MS },
    ],
    [
      'the full one of two windows',
      { primary: window(100, inHours(1)), secondary: window(99, inHours(50)) },
      { kind: 'reset', resetsAt: NOW + HOUR_MS },
    ],
    ['a full window that should be empty by now', { primary: window(100, inHours(-1)) }, { kind: 'overdue' }],
    ['a full window without a reset', { primary: window(100, null) }, { kind: 'unknown' }],
    ['a full window with a reset that is none', { primary: window(100, 1e300) }, { kind: 'unknown' }],
    ['no window', { primary: null }, null],
    ['a window with room', { primary: window(99, inHours(1)) }, null],
    ['a window of another form', { primary: window('100', inHours(1)) }, null],
    [
      'a workspace without credits, whatever is left in its windows',
      {
        primary: window(25, inHours(1)),
        credits: NO_CREDITS,
        rateLimitReachedType: 'workspace_member_credits_depleted',
      },
      { kind: 'credits' },
    ],
    [
      'a workspace without credits whose window is full: that has a reset',
      { primary: window(100, inHours(1)), rateLimitReachedType: 'workspace_owner_credits_depleted' },
      { kind: 'reset' },
    ],
    [
      'an allowance that is spent, until its reset',
      { spendControlReached: true, individualLimit: spent(inHours(300)) },
      { kind: 'reset', resetsAt: NOW + 300 * HOUR_MS },
    ],
    [
      'a limit of its workspace',
      { rateLimitReachedType: 'workspace_member_usage_limit_reached' },
      { kind: 'spending' },
    ],
    ['a limit without a name', { rateLimitReachedType: 'rate_limit_reached' }, { kind: 'unknown' }],
    ['a reason of a later version', { rateLimitReachedType: 'moon' as never }, { kind: 'unknown' }],
  ])('is parsed: %s', (_, snapshot, limit) => {
    const found = limitIn({ limitId: 'codex', ...snapshot }, NOW);
    if (limit === null) expect(found).toBeNull();
    else expect(found).toMatchObject({ limitId: 'codex', ...limit });
  });
});

describe('a usage report of the backend', () => {
  const full = { primary: window(100, inHours(50)) };

  it('shows no limit once credits were bought, though a window is full', () => {
    const credits = { hasCredits: true, unlimited: false, balance: '12' };
    expect(limitNow({ rateLimits: full }, NOW)).toMatchObject({ kind: 'reset' });
    expect(limitNow({ rateLimits: { ...full, credits } }, NOW)).toBeNull();
    expect(limitNow({ rateLimits: { ...full, credits: { ...credits, balance: '0' } } }, NOW)).not.toBeNull();
    expect(limitNow({ rateLimits: { ...full, credits, spendControlReached: true } }, NOW)).not.toBeNull();
  });

  it('shows a limit when the backend refuses the plan, even without a name', () => {
    const rateLimits = { limitId: 'codex', primary: window(3, inHours(1)) };
    expect(limitNow({ rateLimits, ordinaryUsageAllowed: true }, NOW)).toBeNull();
    expect(limitNow({ rateLimits, ordinaryUsageAllowed: null }, NOW)).toBeNull();
    expect(limitNow({ rateLimits, ordinaryUsageAllowed: false }, NOW)).toEqual({
      kind: 'unknown',
      limitId: 'codex',
    });
  });
});

test.each(Object.keys(HOLD_OUTS) as UsageLimit['kind'][])(
  'an account refused repeatedly by a limit of kind %s is tried less and less often',
  (kind) => {
    const limit = { kind, limitId: null, resetsAt: NOW + HOUR_MS } as UsageLimit;
    const pauses = Array.from({ length: 40 }, (_, i) => heldOutUntil(limit, i + 1, NOW) - NOW);
    expect(pauses.every((pauseMs, i) => pauseMs >= (pauses[i - 1] ?? 60_000))).toBe(true);
    expect(pauses[12]).toBeGreaterThanOrEqual(HOUR_MS);
    expect(pauses.at(-1)).toBeLessThanOrEqual(6 * HOUR_MS);
  },
);
