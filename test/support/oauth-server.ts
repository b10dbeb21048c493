import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** A request as it came; those for tokens with what they asked and were told. */
export interface OAuthRequest {
  /** Milliseconds since the epoch. */
  at: number;
  method: string;
  path: string;
  contentType: string | undefined;
  authorization: string | undefined;
  /** Of a token request: the token it spent, codex's own reason, the status it got and whether it was still there to get it. */
  refreshToken?: string;
  reason?: string;
  status?: number;
  gone?: true;
}

/** What a token request gets instead of tokens. Nothing is rotated for it. */
export interface Refusal {
  status: number;
  /** `error.code` as OpenAI sends it: `refresh_token_reused`, `refresh_token_expired`, `refresh_token_invalidated`. */
  code?: string;
  headers?: Record<string, string>;
}

/** A token request whose answer waits: its token is spent and the new one made, but nobody has heard of it. */
export interface HeldAnswer {
  /** Resolves when the request is there. */
  readonly arrived: Promise<OAuthRequest>;
  release(): void;
}

export interface Login {
  /** Default `acc-1`. */
  accountId?: string;
  /** Life of the first access token in seconds, negative for one that has ended; default 10 hours. */
  expiresIn?: number;
  /** Default now. */
  lastRefresh?: Date;
}

/**
 * ChatGPT's account side on loopback: rotating refresh tokens of one use each, and the backend that codex
 * asks beside them.
 */
export interface OAuthServer {
  /** `http://127.0.0.1:<port>`, with `/.well-known/openid-configuration`. */
  readonly url: string;
  readonly tokenUrl: string;
  /** Codex's `chatgpt_base_url`; answers `wham/usage` with `usage`. */
  readonly backendUrl: string;
  /** Makes a codex or a verifier refresh here. */
  readonly env: { CODEX_REFRESH_TOKEN_URL_OVERRIDE: string; CODEX_AUTHAPI_BASE_URL: string };
  readonly requests: readonly OAuthRequest[];
  /** The token requests among them. */
  refreshes(): OAuthRequest[];
  /** The auth.json of a new login: the first refresh token of a chain of its own. */
  login(login?: Login): Buffer;
  /** Whether the refresh token of this auth.json has not been spent, nor its chain revoked. */
  isGood(authJson: Uint8Array): boolean;
  /** Ends a chain, as a logout elsewhere does: its next refresh is told `refresh_token_invalidated`. */
  revoke(authJson: Uint8Array): void;
  /** The answers of the next token requests, in their order, before it goes on by itself. */
  refuse(...refusals: Refusal[]): void;
  /** The next token request is held. */
  hold(): HeldAnswer;
  /** Life of the access tokens given out from now on, in seconds; 10 hours at first. */
  expiresIn: number;
  /** Body of `wham/usage`; null: status 404. */
  usage: unknown;
  /** Body of `wham/profiles/me`, what the account spent; null: status 404. */
  profile: unknown;
  /** A spent refresh token revokes its whole chain, as a strict server does; false at first. */
  strict: boolean;
  /** Breaks off what is held. */
  close(): Promise<void>;
}

interface Chain {
  accountId: string;
  current: string;
  revoked: boolean;
}

const TEN_HOURS = 36_000;

/** Starts one; inside a test it ends with the test, in a hook `close` it. */
export async function startOAuthServer(options: { endsWithTest?: boolean } = {}): Promise<OAuthServer> {
  const chains = new Map<string, Chain>();
  const requests: OAuthRequest[] = [];
  const refusals: Refusal[] = [];
  const holds: { came: (request: OAuthRequest) => void; released: Promise<void> }[] = [];
  const server = createServer((incoming, response) => {
    answer(incoming, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tokenUrl = `${url}/oauth/token`;
  let made = 0;

  const oauth: OAuthServer = {
    url,
    tokenUrl,
    backendUrl: `${url}/backend-api`,
    env: { CODEX_REFRESH_TOKEN_URL_OVERRIDE: tokenUrl, CODEX_AUTHAPI_BASE_URL: url },
    requests,
    refreshes: () => requests.filter(({ path }) => path === '/oauth/token'),
    login({ accountId = 'acc-1', expiresIn = TEN_HOURS, lastRefresh = new Date() } = {}) {
      const chain = { accountId, current: '', revoked: false };
      const { id_token, access_token, refresh_token } = next(chain, expiresIn);
      const tokens = { id_token, access_token, refresh_token, account_id: accountId };
      const last_refresh = lastRefresh.toISOString();
      return Buffer.from(
        JSON.stringify({ OPENAI_API_KEY: null, auth_mode: 'chatgpt', tokens, last_refresh }),
      );
    },
    isGood(authJson) {
      const token = tokenOf(authJson);
      const chain = chains.get(token);
      return chain !== undefined && !chain.revoked && chain.current === token;
    },
    revoke(authJson) {
      const chain = chains.get(tokenOf(authJson));
      if (chain) chain.revoked = true;
    },
    refuse: (...more) => void refusals.push(...more),
    hold() {
      let came!: (request: OAuthRequest) => void;
      let release!: () => void;
      const arrived = new Promise<OAuthRequest>((resolve) => (came = resolve));
      const released = new Promise<void>((resolve) => (release = resolve));
      holds.push({ came, released });
      return { arrived, release };
    },
    expiresIn: TEN_HOURS,
    usage: null,
    profile: null,
    strict: false,
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  if (options.endsWithTest ?? true) onTestFinished(() => oauth.close());
  return oauth;

  function next(chain: Chain, expiresIn: number) {
    const n = ++made;
    chain.current = `rt-${chain.accountId}-${n}`;
    chains.set(chain.current, chain);
    const exp = Math.floor(Date.now() / 1000) + expiresIn;
    const [id_token, access_token] = [`id-${n}`, `access-${n}`].map((jti) =>
      webToken(chain.accountId, jti, exp),
    );
    return { id_token, access_token, refresh_token: chain.current, expires_in: expiresIn };
  }

  async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(incoming);
    const { method = '', url: target = '/', headers } = incoming;
    const path = new URL(target, url).pathname;
    const request: OAuthRequest = {
      at: Date.now(),
      method,
      path,
      contentType: headers['content-type'],
      authorization: headers.authorization,
    };
    requests.push(request);
    if (path === '/.well-known/openid-configuration')
      return send(response, 200, { issuer: url, token_endpoint: tokenUrl });
    if (path === '/backend-api/wham/usage' && oauth.usage !== null) return send(response, 200, oauth.usage);
    if (path === '/backend-api/wham/profiles/me' && oauth.profile !== null)
      return send(response, 200, oauth.profile);
    if (path === '/v1/user-auth-credential/whoami')
      return send(response, 200, {
        email: 'acc-1@example.org',
        chatgpt_user_id: 'user-of-acc-1',
        chatgpt_account_id: 'acc-1',
        chatgpt_plan_type: 'team',
        chatgpt_account_is_fedramp: false,
      });
    if (path !== '/oauth/token' || method !== 'POST')
      return send(response, 404, { detail: `no ${method} ${path} here` });
    const given = fieldsOf(body, request.contentType);
    request.refreshToken = given['refresh_token'] ?? '';
    if (given['refresh_reason']) request.reason = given['refresh_reason'];
    await giveTokens(request, response);
  }

  async function giveTokens(request: OAuthRequest, response: ServerResponse): Promise<void> {
    const held = holds.shift();
    const chain = chains.get(request.refreshToken!);
    const refusal = refusals.shift() ?? refusalOf(chain, request.refreshToken!);
    const tokens = refusal ? null : next(chain!, oauth.expiresIn);
    response.once('close', () => {
      if (!response.writableFinished) request.gone = true;
    });
    held?.came(request);
    await held?.released;
    request.status = refusal?.status ?? 200;
    if (!refusal) return send(response, 200, tokens);
    const { status, code, headers } = refusal;
    send(response, status, code ? errorBody(code) : { detail: 'refused' }, headers);
  }

  function refusalOf(chain: Chain | undefined, token: string): Refusal | null {
    if (!chain) return { status: 401, code: 'refresh_token_invalidated' };
    if (chain.current !== token) {
      if (oauth.strict) chain.revoked = true;
      return { status: 401, code: 'refresh_token_reused' };
    }
    return chain.revoked ? { status: 401, code: 'refresh_token_invalidated' } : null;
  }
}

/** As auth.openai.com words it. */
const errorBody = (code: string) => ({
  error: { message: `Refused: ${code}`, type: 'invalid_request_error', param: null, code },
});

/** Codex sends JSON, the standard says a form: both are taken. */
function fieldsOf(body: string, contentType = ''): Record<string, string> {
  if (contentType.includes('json')) return JSON.parse(body) as Record<string, string>;
  return Object.fromEntries(new URLSearchParams(body));
}

function tokenOf(authJson: Uint8Array): string {
  const { tokens } = JSON.parse(Buffer.from(authJson).toString()) as { tokens?: { refresh_token?: string } };
  return tokens?.refresh_token ?? '';
}

function webToken(accountId: string, jti: string, exp: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const account = {
    chatgpt_plan_type: 'plus',
    chatgpt_account_id: accountId,
    chatgpt_user_id: `user-of-${accountId}`,
  };
  const claims = { jti, exp, email: `${accountId}@example.org`, 'https://api.openai.com/auth': account };
  return `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.unsigned`;
}

function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
