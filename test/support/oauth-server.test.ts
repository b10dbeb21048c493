import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startTestCodex } from '../codex/test-codex.js';
import { startOAuthServer } from './oauth-server.js';
import { until } from './until.js';

const spend = (tokenUrl: string, refresh_token: string) =>
  fetch(tokenUrl, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token }),
  });

interface AuthJson {
  tokens: { refresh_token: string; account_id: string };
}
const parse = (authJson: Uint8Array) => JSON.parse(Buffer.from(authJson).toString()) as AuthJson;

test('refresh tokens work once, and revoked chains are refused as OpenAI does', async () => {
  const oauth = await startOAuthServer();
  const login = oauth.login();
  const first = parse(login).tokens.refresh_token;
  expect(oauth.isGood(login)).toBe(true);
  const answer = await spend(oauth.tokenUrl, first);
  const tokens = (await answer.json()) as { refresh_token: string; access_token: string };
  expect(tokens.refresh_token).not.toBe(first);
  expect(oauth.isGood(login)).toBe(false);

  const again = await spend(oauth.tokenUrl, first);
  expect(again.status).toBe(401);
  expect(await again.json()).toMatchObject({ error: { code: 'refresh_token_reused' } });
  oauth.refuse({ status: 429, headers: { 'retry-after': '1' } }, { status: 503 });
  expect((await spend(oauth.tokenUrl, tokens.refresh_token)).headers.get('retry-after')).toBe('1');
  expect((await spend(oauth.tokenUrl, tokens.refresh_token)).status).toBe(503);
  expect((await spend(oauth.tokenUrl, tokens.refresh_token)).status).toBe(200);
  const other = oauth.login({ accountId: 'acc-2' });
  oauth.revoke(other);
  expect(oauth.isGood(other)).toBe(false);
  const revoked = await spend(oauth.tokenUrl, parse(other).tokens.refresh_token);
  expect(await revoked.json()).toMatchObject({ error: { code: 'refresh_token_invalidated' } });
  expect(oauth.refreshes().map(({ status }) => status)).toEqual([200, 401, 429, 503, 200, 401]);
});

test('a held answer has spent its token before anybody gets the next one', async () => {
  const oauth = await startOAuthServer();
  const login = oauth.login();
  const held = oauth.hold();
  const leave = new AbortController();
  const body = new URLSearchParams({ refresh_token: parse(login).tokens.refresh_token });
  const asked = fetch(oauth.tokenUrl, { method: 'POST', body, signal: leave.signal });
  const request = await held.arrived;
  expect(oauth.isGood(login)).toBe(false);
  leave.abort();
  await expect(asked).rejects.toThrow();
  await until('an asker that left', () => request.gone);
  held.release();
});

test('Codex refreshes at the test server and continues with the new token', async () => {
  const oauth = await startOAuthServer();
  const login = oauth.login({ expiresIn: 60 });
  const codex = await startTestCodex({
    workerEnv: oauth.env,
    config: async ({ codexHome }) => {
      await writeFile(join(codexHome, 'auth.json'), login);
      return { codexConfig: { chatgpt_base_url: oauth.backendUrl } };
    },
  });
  const kept = await readFile(join(codex.codexHome, 'auth.json'));
  expect(oauth.refreshes()).toMatchObject([
    { status: 200, reason: 'proactive_expiry', contentType: 'application/json' },
  ]);
  expect(oauth.isGood(kept)).toBe(true);
  expect(parse(kept).tokens.account_id).toBe('acc-1');
});
