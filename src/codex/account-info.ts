import type { AuthFacts } from './auth-json.js';
import type { RateLimitSnapshot, RateLimitWindow } from './protocol.js';

/** An account as it is shown: who it is and how much of it is used. Holds no token. */
export interface AccountInfo {
  name: string | null;
  email: string | null;
  plan: string | null;
  account_id: string | null;
  provider: 'openai';
  /** One line for people. */
  summary: string;
  windows: UsageWindow[];
  /** All tokens the account ever used; absent: unknown. */
  lifetime_tokens?: number;
}

export interface UsageWindow {
  /** `5h`, `7d`, … */
  label: string;
  /** Percent used. */
  pct: number;
  /** ISO 8601; null: unknown. */
  resets_at: string | null;
  /** Null: every model. */
  model: string | null;
}

/** What an auth.json and, if known, the account's usage say about it. */
export function accountInfo(
  facts: Pick<AuthFacts, 'email' | 'plan' | 'accountId'>,
  limits: RateLimitSnapshot | null,
  lifetimeTokens: number | null = null,
): AccountInfo {
  const windows = [limits?.primary, limits?.secondary].flatMap((each) => (each ? [usageWindow(each)] : []));
  const { email, plan, accountId } = facts;
  const who = email ?? accountId ?? 'unknown account';
  const usage = windows.map(({ label, pct }) => `${label} ${pct}%`).join(', ');
  return {
    name: null,
    email,
    plan,
    account_id: accountId,
    provider: 'openai',
    summary: `${who}${plan ? ` (${plan})` : ''}${usage ? `: ${usage}` : ''}`,
    windows,
    ...(lifetimeTokens !== null && { lifetime_tokens: lifetimeTokens }),
  };
}

const usageWindow = ({ usedPercent, windowDurationMins, resetsAt }: RateLimitWindow): UsageWindow => ({
  label: labelOf(windowDurationMins),
  pct: usedPercent,
  resets_at: isoOf(resetsAt),
  model: null,
});

function isoOf(seconds: number | null | undefined): string | null {
  const at = new Date(Number(seconds || NaN) * 1000);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

function labelOf(minutes: number | null | undefined): string {
  if (!minutes) return 'usage';
  if (minutes % 1440 === 0) return `${minutes / 1440}d`;
  return minutes % 60 === 0 ? `${minutes / 60}h` : `${minutes}min`;
}
