import type { NewTokens } from './auth-json.js';
import { isRecord } from './narrow.js';
import { reasonOf } from '../errors.js';
import { timeLimit } from '../async/time-limit.js';

/** Codex's own client id. */
const CLIENT_ID = 'app_EMoamEEZ73f0CkXaXp7hrann';
const TOKEN_URL = 'https://auth.openai.com/oauth/token';
/** The variable with which codex itself is pointed at another endpoint. */
const OVERRIDE = 'CODEX_REFRESH_TOKEN_URL_OVERRIDE';

/** Codex gives up a login for these, and for every 401. */
const LOST = new Set(['invalid_grant']);
const LOST_PREFIX = 'refresh_token_';

/** `lost`: the refresh token will never work again. `failed`: nothing is known of it; `reason` has no secret. */
export type RefreshResult =
  | { kind: 'refreshed'; tokens: NewTokens }
  | { kind: 'lost'; reason: string }
  | { kind: 'failed'; reason: string };

/** Where access tokens are renewed: OpenAI's endpoint, or the one codex is told to use instead. */
export const tokenUrlOf = (env: NodeJS.ProcessEnv): string => env[OVERRIDE] || TOKEN_URL;

/**
 * Spends a refresh token for new tokens, once, as codex does. Never throws. Giving up before the answer may lose
 * the account, for the server may have rotated by then: `timeoutMs` must be generous.
 */
export async function refreshTokens(
  tokenUrl: string,
  refreshToken: string,
  timeoutMs: number,
): Promise<RefreshResult> {
  try {
    const response = await fetch(tokenUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({
        client_id: CLIENT_ID,
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
      }),
      redirect: 'error',
      signal: timeLimit(timeoutMs),
    });
    const body: unknown = await response.json().catch(() => null);
    return response.ok ? tokensOf(body) : refusalOf(response.status, body);
  } catch (error) {
    return { kind: 'failed', reason: `no answer (${causeOf(error)})` };
  }
}

/** Whether the endpoint's server answers at all; a text: why not. Never throws. */
export async function whyTokensUnreachable(tokenUrl: string, timeoutMs: number): Promise<string | null> {
  const url = new URL('/.well-known/openid-configuration', tokenUrl);
  try {
    const response = await fetch(url, { signal: timeLimit(timeoutMs) });
    await response.body?.cancel();
    return null;
  } catch (error) {
    return `${url.origin} is out of reach (${causeOf(error)})`;
  }
}

function tokensOf(body: unknown): RefreshResult {
  const text = (name: string) => {
    const value = isRecord(body) ? body[name] : null;
    return typeof value === 'string' && value !== '' ? value : null;
  };
  const accessToken = text('access_token');
  if (accessToken === null) return { kind: 'failed', reason: 'an answer without access_token' };
  const tokens = { accessToken, refreshToken: text('refresh_token'), idToken: text('id_token') };
  return { kind: 'refreshed', tokens };
}

function refusalOf(status: number, body: unknown): RefreshResult {
  const code = codeOf(body);
  const isLost = status === 401 || (status === 400 && code !== null && isLossCode(code));
  return { kind: isLost ? 'lost' : 'failed', reason: code ?? `HTTP ${status}` };
}

const isLossCode = (code: string) => LOST.has(code) || code.startsWith(LOST_PREFIX);

/** `{error: code}`, `{error: {code}}` or `{code}`; only what looks like a code, so that no text of a server is repeated. */
function codeOf(body: unknown): string | null {
  if (!isRecord(body)) return null;
  const { error } = body;
  const code = isRecord(error) ? error['code'] : (error ?? body['code']);
  return typeof code === 'string' && /^[\w.-]{1,64}$/.test(code) ? code : null;
}

/** Node hides the reason of a failed fetch one level down. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const { code } = (cause ?? {}) as { code?: unknown };
  return typeof code === 'string' ? code : reasonOf(cause ?? error);
}
