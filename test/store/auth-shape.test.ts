import { expect, test } from 'vitest';
import { accountIn, credentialIn, isLater, loginIn, requireCredential } from '../../src/store/auth-shape.js';
import { auth, issued } from './support.js';

const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

test.each([
  ['a refresh token', { tokens: { refresh_token: 'r' } }, 'tokens'],
  ['an access token alone', { auth_mode: 'chatgptAuthTokens', tokens: { access_token: 'a' } }, 'tokens'],
  ['an API key', { auth_mode: 'apikey', OPENAI_API_KEY: 'sk-x' }, 'OPENAI_API_KEY'],
  ['an API key beside empty tokens', { OPENAI_API_KEY: 'sk-x', tokens: {} }, 'OPENAI_API_KEY'],
  [
    'a personal access token',
    { auth_mode: 'personalAccessToken', personal_access_token: 'at-x' },
    'personal_access_token',
  ],
  ['an agent identity in one text', { auth_mode: 'agentIdentity', agent_identity: 'jwt' }, 'agent_identity'],
  [
    'an agent identity',
    { auth_mode: 'agentIdentity', agent_identity: { agent_private_key: 'k' } },
    'agent_identity',
  ],
  ['a key of Bedrock', { bedrock_api_key: { api_key: 'k', region: 'r' } }, 'bedrock_api_key'],
] as const)('%s is a credential', (_, value, kind) => {
  expect(credentialIn(bytes(value))).toBe(kind);
  expect(() => requireCredential(bytes(value), 'New seed')).not.toThrow();
});

test.each([
  '',
  'null',
  '[]',
  '"tokens"',
  '{}',
  '{"tokens":{}}',
  '{"tokens":null,"OPENAI_API_KEY":null}',
  '{"tokens":{"refresh_token":""}}',
  '{"tokens":{"refresh_token":1}}',
  '{"tokens":"secret-value"}',
  '{"OPENAI_API_KEY":""}',
  '{"auth_mode":"agentIdentity","agent_identity":{}}',
  '{"auth_mode":"unheard-of","token":"secret-value"}',
  '{"tokens":{"refresh_token":"secret-value"}} and more',
])('%j is no credential, and the refusal repeats no value of it', (text) => {
  expect(credentialIn(bytes(text))).toBeNull();
  expect(() => requireCredential(bytes(text), 'New seed')).toThrow(/^New seed: expected an auth\.json/);
  try {
    requireCredential(bytes(text), 'New seed');
  } catch (error) {
    expect(String(error)).not.toContain('secret-value');
  }
});

test('an unknown mode is refused by its name', () => {
  const value = { auth_mode: 'newMode', new_token: 'x' };
  expect(() => requireCredential(bytes(value), 'New seed')).toThrow(/"newMode" with auth_mode, new_token/);
});

test('only a credential that is refreshed has a login of its own', () => {
  expect(loginIn(auth('a'))).toMatch(/^[\w-]{43}$/);
  expect(loginIn(auth('a', '2026-01-01T00:00:00Z'))).toBe(loginIn(issued('a', 1)));
  expect(loginIn(auth('a'))).not.toBe(loginIn(auth('b')));
  for (const value of [{ OPENAI_API_KEY: 'sk' }, { tokens: { access_token: 'a' } }, 'nonsense'])
    expect(loginIn(bytes(value))).toBeNull();
});

test('access tokens tell which of two credentials is newer, or nothing does', () => {
  expect(isLater(issued('a', 2), issued('b', 1))).toBe(true);
  expect(isLater(issued('a', 1), issued('b', 2))).toBe(false);
  expect(isLater(issued('a', 1), issued('b', 1))).toBeNull();
  expect(isLater(issued('a', 1), auth('b', '2026-01-01T00:00:00Z'))).toBeNull();
});

test('the account is the one named, or else the one in the claims', () => {
  const claims = { 'https://api.openai.com/auth': { chatgpt_account_id: 'claimed' } };
  const jwt = `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`;
  expect(accountIn(bytes({ tokens: { account_id: 'named', id_token: jwt } }))).toBe('named');
  expect(accountIn(bytes({ tokens: { access_token: jwt } }))).toBe('claimed');
  expect(accountIn(bytes({ OPENAI_API_KEY: 'sk' }))).toBeNull();
});
