import type { IncomingHttpHeaders } from 'node:http';
import type { ResponseItem } from './model-items.js';

/** One request to the model, as the server recorded it. */
export interface ModelRequest {
  /** Counts from 1. */
  n: number;
  /** When it came, in milliseconds since the epoch. */
  at: number;
  headers: IncomingHttpHeaders;
  body: { model?: string; input: ResponseItem[]; [field: string]: unknown };
}

/** The text of the newest message of the user. */
export const lastUserText = ({ body }: ModelRequest): string =>
  textOf(body.input.findLast(isUserMessage)?.['content']);

/** The texts of the user's messages before the newest one, oldest first; codex's own context is among them. */
export const earlierUserTexts = ({ body }: ModelRequest): string[] =>
  body.input
    .filter(isUserMessage)
    .slice(0, -1)
    .map(({ content }) => textOf(content));

/** Every message before the newest one of the user, oldest first, with who said it. */
export function earlierMessages({ body }: ModelRequest): { role: string; text: string }[] {
  const newest = body.input.findLastIndex(isUserMessage);
  return body.input
    .slice(0, Math.max(newest, 0))
    .filter(({ type }) => type === 'message')
    .map(({ role, content }) => ({ role: String(role), text: textOf(content) }));
}

/** What calls of the running turn, those after the newest message of the user, have put out. */
export function outputsOfTurn({ body }: ModelRequest): string[] {
  const start = body.input.findLastIndex(isUserMessage) + 1;
  return body.input
    .slice(start)
    .filter(({ type }) => type === 'function_call_output' || type === 'custom_tool_call_output')
    .map(({ output }) => textOf(output));
}

/** The requests that were made for the message with this text. */
export const requestsFor = (requests: readonly ModelRequest[], text: string): ModelRequest[] =>
  requests.filter((request) => lastUserText(request) === text);

const isUserMessage = ({ type, role }: ResponseItem) => type === 'message' && role === 'user';

/** Contents and outputs come as text, as a list of parts or as an object around either. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(textOf).join('');
  if (typeof value !== 'object' || value === null) return '';
  if ('text' in value) return textOf(value.text);
  return 'content' in value ? textOf(value.content) : '';
}
