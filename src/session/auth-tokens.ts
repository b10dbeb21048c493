/** What is read of an auth.json, without its secrets. */
export interface AuthFacts {
  /** Whether it holds the tokens of a ChatGPT account, which rotate; an API key does not. */
  rotates: boolean;
  accountId: string | null;
  /** When the access token ends and was made, in seconds since the epoch; null where it does not say. */
  expiresAt: number | null;
  issuedAt: number | null;
}

/** How long before its end a token is refreshed ahead of a turn. Seconds; codex 0.169.0 does it by itself at 5 min. */
const AHEAD_SECONDS = 15 * 60;

/** Reads an auth.json as codex 0.169.0 writes it; what is not there is null. */
export function readAuthFacts(authJson: Uint8Array): AuthFacts {
  const tokens = fieldsOf(parse(Buffer.from(authJson).toString('utf8'))['tokens']);
  const claims = claimsOf(tokens['access_token']);
  const { account_id: accountId } = tokens;
  return {
    rotates: typeof tokens['refresh_token'] === 'string',
    accountId: typeof accountId === 'string' ? accountId : null,
    expiresAt: numberOf(claims['exp']),
    issuedAt: numberOf(claims['iat']),
  };
}

/** Whether the access token ends soon; a clock that is behind the one that made the token is not believed. */
export function endsSoon({ expiresAt, issuedAt }: AuthFacts, nowSeconds: number): boolean {
  if (expiresAt === null) return false;
  return expiresAt - Math.max(nowSeconds, issuedAt ?? 0) < AHEAD_SECONDS;
}

function claimsOf(token: unknown): Record<string, unknown> {
  const [, payload = ''] = typeof token === 'string' ? token.split('.') : [];
  return parse(Buffer.from(payload, 'base64url').toString('utf8'));
}

function parse(text: string): Record<string, unknown> {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return {};
  }
}

const fieldsOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const numberOf = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null);
