import { createHash } from 'node:crypto';
import { TaskError } from '../errors.js';

/** Credentials with which Codex can log in, by their field in auth.json. Only `tokens` rotate. */
export type CredentialKind =
  | 'tokens'
  | 'OPENAI_API_KEY'
  | 'personal_access_token'
  | 'agent_identity'
  | 'bedrock_api_key'
  | 'bedrock_access_keys';

const TEXTS = ['OPENAI_API_KEY', 'personal_access_token'] as const;
/** A text or an object, as codex's own reader takes them. */
const TEXTS_OR_OBJECTS = ['agent_identity', 'bedrock_api_key', 'bedrock_access_keys'] as const;

/** The first credential in an auth.json; null when there is none in it. */
export function credentialIn(bytes: Uint8Array): CredentialKind | null {
  const auth = parse(bytes);
  if (!auth) return null;
  const tokens = recordIn(auth['tokens']);
  if (tokens && (textIn(tokens['refresh_token']) ?? textIn(tokens['access_token'])) !== null) return 'tokens';
  const hasText = TEXTS.find((name) => textIn(auth[name]) !== null);
  if (hasText) return hasText;
  const isFilled = (value: unknown) =>
    textIn(value) !== null || Object.keys(recordIn(value) ?? {}).length > 0;
  return TEXTS_OR_OBJECTS.find((name) => isFilled(auth[name])) ?? null;
}

/** Whether these bytes are an auth.json that codex can log in with. */
export const isValidAuth = (bytes: Uint8Array): boolean => credentialIn(bytes) !== null;

/** Describes bytes without a credential, without any of their values. */
export function shapeOf(bytes: Uint8Array): string {
  const auth = parse(bytes);
  if (!auth) return `${bytes.length} bytes that are no JSON object`;
  const mode = textIn(auth['auth_mode']);
  const names = Object.keys(auth).slice(0, 10).join(', ') || 'no fields';
  return `${mode === null ? 'one' : `one of auth_mode ${JSON.stringify(mode.slice(0, 40))}`} with ${names}, none of which holds a credential`;
}

/** @throws TaskError `BadInput` for what codex cannot log in with */
export function requireCredential(authJson: Uint8Array, subject: string): void {
  if (isValidAuth(authJson)) return;
  throw new TaskError(
    'BadInput',
    `${subject}: expected an auth.json with tokens or OPENAI_API_KEY (or another login of codex), got ${shapeOf(authJson)}`,
  );
}

/** SHA-256 in hex of a valid auth.json, null for anything else. */
export const fingerprint = (bytes: Uint8Array): string | null =>
  isValidAuth(bytes) ? createHash('sha256').update(bytes).digest('hex') : null;

/**
 * Identifies a login without revealing it: a hash of its refresh token, which is long and random. Null where nothing
 * rotates, since a key may be used in several places.
 */
export function loginIn(authJson: Uint8Array): string | null {
  const token = textIn(recordIn(parse(authJson)?.['tokens'])?.['refresh_token']);
  return token && createHash('sha256').update(`codex-task login\n${token}`).digest('base64url');
}

/** The account that an auth.json names; null when it names none. */
export function accountIn(authJson: Uint8Array): string | null {
  const tokens = recordIn(parse(authJson)?.['tokens']);
  const named = textIn(tokens?.['account_id']);
  if (named !== null) return named;
  const claim = ['id_token', 'access_token']
    .map((name) => recordIn(claimsOf(tokens?.[name])['https://api.openai.com/auth']))
    .find((each) => each !== null);
  return textIn(claim?.['chatgpt_account_id']);
}

/**
 * Whether the tokens of one auth.json were issued after those of another, by the issuer's clock; null: one has no
 * time, or both have the same second.
 */
export function isLater(one: Uint8Array, other: Uint8Array): boolean | null {
  const [first, second] = [issuedAt(one), issuedAt(other)];
  return first === null || second === null || first === second ? null : first > second;
}

/** Seconds since 1970 in the access token; null where it has none. */
function issuedAt(authJson: Uint8Array): number | null {
  const { iat } = claimsOf(recordIn(parse(authJson)?.['tokens'])?.['access_token']);
  return typeof iat === 'number' && Number.isFinite(iat) ? iat : null;
}

/**
 * When Codex refreshed these tokens, as it says; 0 where it does not. Milliseconds since 1970, comparable within one
 * host only.
 */
export function refreshedAt(authJson: Uint8Array): number {
  const text = isValidAuth(authJson) ? parse(authJson)?.['last_refresh'] : null;
  return (typeof text === 'string' && Date.parse(text)) || 0;
}

type JsonObject = Readonly<Record<string, unknown>>;

function parse(bytes: Uint8Array): JsonObject | null {
  try {
    return recordIn(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch {
    return null;
  }
}

const recordIn = (value: unknown): JsonObject | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null;

const textIn = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** The claims of a JWT, unchecked; none when it is no JWT. */
function claimsOf(token: unknown): JsonObject {
  const payload = textIn(token)?.split('.')[1];
  return (payload && parse(Buffer.from(payload, 'base64url'))) || {};
}
