import { expect, test } from 'vitest';
import { endsSoon, readAuthFacts, rotates } from '../../src/codex/auth-json.js';

const NOW = new Date('2027-01-15T08:00:00Z');
const SECONDS = NOW.getTime() / 1000;
const MINUTE = 60;

const jwt = (claims: object) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;

function factsOf(claims: object, tokens: object = {}) {
  const all = { access_token: jwt(claims), refresh_token: 'r', account_id: 'a', ...tokens };
  return readAuthFacts(Buffer.from(JSON.stringify({ tokens: all })))!;
}

test('an access token ends soon when less than 15 minutes are left of it', () => {
  const soon = (minutes: number) => endsSoon(factsOf({ exp: SECONDS + minutes * MINUTE }), NOW);
  expect([-60, 0, 14, 16, 600].map(soon)).toEqual([true, true, true, false, false]);
});

test('a token issued after this host’s clock is not believed', () => {
  const behind = new Date(NOW.getTime() - 3_600_000);
  expect(endsSoon(factsOf({ iat: SECONDS, exp: SECONDS + 10 * MINUTE }), behind)).toBe(true);
  expect(endsSoon(factsOf({ iat: SECONDS, exp: SECONDS + 3_600 }), behind)).toBe(false);
});

test('text that is no JSON object yields no facts', () => {
  for (const text of ['', '[]', 'null', '7', '{']) expect(readAuthFacts(Buffer.from(text))).toBeNull();
  expect(rotates(null)).toBe(false);
});

test('a value that is no token, never ends or does not rotate is left alone', () => {
  for (const text of [
    '{}',
    '{"tokens":null}',
    '{"OPENAI_API_KEY":"k"}',
    '{"tokens":{"access_token":7,"refresh_token":""}}',
  ]) {
    const facts = readAuthFacts(Buffer.from(text))!;
    expect(facts).toMatchObject({ refreshToken: null, accountId: null, expiresAt: null, issuedAt: null });
    expect(rotates(facts)).toBe(false);
    expect(endsSoon(facts, NOW)).toBe(false);
  }
  // No date can be made of the last one.
  for (const exp of ['soon', null, 1e300]) {
    const facts = factsOf({ exp });
    expect(rotates(facts)).toBe(true);
    expect(facts.expiresAt).toBeNull();
  }
});

test('an account without an id is identified by the id in its tokens', () => {
  const claims = { 'https://api.openai.com/auth': { chatgpt_account_id: 'b' } };
  expect(factsOf(claims, { account_id: undefined }).accountId).toBe('b');
  expect(factsOf(claims).accountId).toBe('a');
});
