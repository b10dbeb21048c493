import { BUDGETS, jsonBytes } from '../../budgets/budgets.js';
import { toWellFormed } from '../../codex/well-formed.js';

/** Content of one line of the agent's log. */
export type ProtocolLine =
  | { kind: 'status'; percent: number | null; text: string }
  | { kind: 'deliverable'; path: string }
  | { kind: 'done'; text: string | null }
  | { kind: 'error'; text: string | null }
  | { kind: 'browser'; url: string }
  | { kind: 'attention'; reason: string }
  | { kind: 'clientMessage' | 'callerMessage'; keyword: string; message: unknown }
  | { kind: 'log'; text: string };

/** Longest text reported of a line, in characters. */
export const MAX_LINE_TEXT = 4_000;
/** Longest path that a line may name, in bytes. */
export const MAX_PATH_BYTES = 1_024;
const MAX_DEPTH = 32;
/** Longest message in a line, as the workflow and its hook get it. */
const MAX_MESSAGE_BYTES = BUDGETS.signal - 4_096;

/**
 * Parses one line of `optio.log`, without its newline: a keyword of the protocol, or plain progress. A malformed
 * keyword is plain progress too. Null: an empty line.
 */
export function parseProtocolLine(line: string): ProtocolLine | null {
  const clean = toWellFormed(line).trimEnd();
  if (clean.trim() === '') return null;
  const [, keyword = '', rest = ''] = /^([A-Z_]+)(?::[ \t]*(.*))?$/s.exec(clean) ?? [];
  const parsed = PARSERS[keyword]?.(rest, clean.includes(':'));
  return parsed ?? { kind: 'log', text: shown(clean) };
}

const PARSERS: Record<string, (rest: string, hasColon: boolean) => ProtocolLine | null> = {
  STATUS: (rest) => {
    const [, percent, text = rest] = /^(\d{1,9})[ \t]*%[ \t]*(.*)$/s.exec(rest) ?? [];
    if (rest === '') return null;
    return {
      kind: 'status',
      percent: percent === undefined ? null : Math.min(Number(percent), 100),
      text: shown(text),
    };
  },
  DELIVERABLE: (path) =>
    path === '' || /\p{Cc}/u.test(path) || Buffer.byteLength(path) > MAX_PATH_BYTES
      ? null
      : { kind: 'deliverable', path },
  DONE: (text) => ({ kind: 'done', text: text === '' ? null : shown(text) }),
  ERROR: (text) => ({ kind: 'error', text: text === '' ? null : shown(text) }),
  BROWSER: (quoted) => {
    const url = /^"([^"]*)"$/.exec(quoted)?.[1] ?? '';
    // A client opens the address, so schemes that run in the page are refused.
    const opens = url.length <= MAX_LINE_TEXT && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
    return opens ? { kind: 'browser', url: new URL(url).href } : null;
  },
  ATTENTION: (reason) => (reason === '' ? null : { kind: 'attention', reason: shown(reason) }),
  CLIENT_MESSAGE: (rest) => message('clientMessage', rest),
  CALLER_MESSAGE: (rest) => message('callerMessage', rest),
};

function message(kind: 'clientMessage' | 'callerMessage', rest: string): ProtocolLine | null {
  const [, keyword, json] = /^([A-Za-z0-9][\w.-]{0,127})[ \t]+(.+)$/s.exec(rest) ?? [];
  if (keyword === undefined || json === undefined) return null;
  try {
    const parsed = cleanJson(JSON.parse(json), 0);
    // Short numbers may be long in the encoded form.
    return jsonBytes(parsed) > MAX_MESSAGE_BYTES ? null : { kind, keyword, message: parsed };
  } catch {
    return null;
  }
}

/**
 * Accepts well-formed texts only.
 * @throws when it is nested too deep
 */
function cleanJson(value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new RangeError('nested too deep');
  if (typeof value === 'string') return toWellFormed(value);
  if (Array.isArray(value)) return value.map((part) => cleanJson(part, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [toWellFormed(key), cleanJson(part, depth + 1)]),
  );
}

/** On one line, without control characters for a terminal. */
const shown = (text: string): string => {
  const plain = text.replace(/\p{Cc}/gu, ' ').trim();
  return plain.length > MAX_LINE_TEXT ? `${toWellFormed(plain.slice(0, MAX_LINE_TEXT))}…` : plain;
};
