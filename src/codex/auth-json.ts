import { isRecord } from './narrow.js';

/** What an auth.json says about its account. Holds tokens: never log or return it whole. */
export interface AuthFacts {
  readonly apiKey: boolean;
  readonly accessToken: string | null;
  readonly refreshToken: string | null;
  readonly accountId: string | null;
  readonly email: string | null;
  readonly plan: string | null;
  /** When codex refreshed it last, as it says. */
  readonly lastRefresh: Date | null;
  /** When the access token ends and was made. */
  readonly expiresAt: Date | null;
  readonly issuedAt: Date | null;
}

/** New tokens of an account; what the endpoint did not renew is null. */
export interface NewTokens {
  accessToken: string;
  refreshToken: string | null;
  idToken: string | null;
}

/** Age at which codex's clients renew a login whatever its access token says. Milliseconds. */
export const STALE_MS = 8 * 24 * 3_600_000;

/** How long before its end an access token is refreshed. Milliseconds; codex does it by itself at 5 min. */
const AHEAD_MS = 15 * 60_000;

/** The facts in an auth.json of codex; null when the bytes are no JSON object. */
export function readAuthFacts(bytes: Uint8Array): AuthFacts | null {
  const auth = parseRecord(Buffer.from(bytes).toString('utf8'));
  if (!auth) return null;
  const tokens = isRecord(auth['tokens']) ? auth['tokens'] : {};
  const accessToken = textOf(tokens['access_token']);
  const identity = claimsOf(textOf(tokens['id_token']));
  const access = claimsOf(accessToken);
  const account = { ...accountClaims(access), ...accountClaims(identity) };
  return {
    apiKey: textOf(auth['OPENAI_API_KEY']) !== null,
    accessToken,
    refreshToken: textOf(tokens['refresh_token']),
    accountId: textOf(tokens['account_id']) ?? textOf(account['chatgpt_account_id']),
    email: textOf(identity['email']) ?? textOf(access['email']),
    plan: textOf(account['chatgpt_plan_type']),
    lastRefresh: dateOf(auth['last_refresh']),
    expiresAt: secondsOf(access['exp']),
    issuedAt: secondsOf(access['iat']),
  };
}

/** Whether it holds the tokens of a ChatGPT account, which rotate; an API key does not. */
export const rotates = (facts: AuthFacts | null): facts is AuthFacts & { refreshToken: string } =>
  facts !== null && facts.refreshToken !== null;

/** Whether the access token ends soon; a clock that is behind the one that made the token is not believed. */
export function endsSoon(
  { expiresAt, issuedAt }: Pick<AuthFacts, 'expiresAt' | 'issuedAt'>,
  now: Date,
): boolean {
  if (expiresAt === null) return false;
  return expiresAt.getTime() - Math.max(now.getTime(), issuedAt?.getTime() ?? 0) < AHEAD_MS;
}

/** Whether a login has not been refreshed for 8 days, or does not say when. */
export const isStale = ({ lastRefresh }: Pick<AuthFacts, 'lastRefresh'>, now: Date): boolean =>
  lastRefresh === null || now.getTime() - lastRefresh.getTime() >= STALE_MS;

/** The same auth.json with new tokens; every other field stays. The bytes must be a JSON object. */
export function withTokens(bytes: Uint8Array, { accessToken, refreshToken, idToken }: NewTokens): Buffer {
  const auth = parseRecord(Buffer.from(bytes).toString('utf8')) ?? {};
  const tokens = {
    ...(isRecord(auth['tokens']) ? auth['tokens'] : {}),
    access_token: accessToken,
    ...(refreshToken !== null && { refresh_token: refreshToken }),
    ...(idToken !== null && { id_token: idToken }),
  };
  return Buffer.from(JSON.stringify({ ...auth, tokens, last_refresh: new Date().toISOString() }));
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** A time of a JWT; null for what is none. */
function secondsOf(value: unknown): Date | null {
  const time = new Date(typeof value === 'number' ? value * 1000 : NaN);
  return Number.isNaN(time.getTime()) ? null : time;
}

/** RFC 3339 with any fraction, or seconds or milliseconds since the epoch. */
function dateOf(value: unknown): Date | null {
  if (typeof value === 'number' && Number.isFinite(value))
    return new Date(value < 1e11 ? value * 1000 : value);
  const time = typeof value === 'string' ? Date.parse(value) : NaN;
  return Number.isNaN(time) ? null : new Date(time);
}

/** The claims of a JWT, unchecked; none when it is no JWT. */
function claimsOf(token: string | null): Record<string, unknown> {
  const payload = token?.split('.')[1];
  return (payload && parseRecord(Buffer.from(payload, 'base64url').toString('utf8'))) || {};
}

function accountClaims(claims: Record<string, unknown>): Record<string, unknown> {
  const account = claims['https://api.openai.com/auth'];
  return isRecord(account) ? account : {};
}

function parseRecord(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
