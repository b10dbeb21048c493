import { expect, test } from 'vitest';
import { endsSoon, readAuthFacts } from '../../src/session/auth-tokens.js';

const NOW = 1_800_000_000;
const MINUTE = 60;

function authJson(claims: object, more: object = {}): Buffer {
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
  const tokens = { access_token: `h.${payload}.s`, refresh_token: 'r', account_id: 'a', ...more };
  return Buffer.from(JSON.stringify({ tokens }));
}

test('an access token ends soon when less than 15 minutes are left of it', () => {
  const soon = (minutes: number) => endsSoon(readAuthFacts(authJson({ exp: NOW + minutes * MINUTE })), NOW);
  expect([-60, 0, 14, 16, 600].map(soon)).toEqual([true, true, true, false, false]);
});

test('a clock that is behind the token’s maker is not believed', () => {
  const facts = readAuthFacts(authJson({ iat: NOW, exp: NOW + 10 * MINUTE }));
  expect(endsSoon(facts, NOW - 3_600)).toBe(true);
  const long = readAuthFacts(authJson({ iat: NOW, exp: NOW + 3_600 }));
  expect(endsSoon(long, NOW - 3_600)).toBe(false);
});

test('what is no token, has no end or does not rotate is left alone', () => {
  for (const text of [
    '',
    '[]',
    '{}',
    '{"tokens":null}',
    '{"OPENAI_API_KEY":"k"}',
    '{"tokens":{"access_token":7}}',
  ]) {
    const facts = readAuthFacts(Buffer.from(text));
    expect(facts).toEqual({ rotates: false, accountId: null, expiresAt: null, issuedAt: null });
    expect(endsSoon(facts, NOW)).toBe(false);
  }
  expect(readAuthFacts(authJson({ exp: 'soon' }))).toMatchObject({ rotates: true, expiresAt: null });
});
