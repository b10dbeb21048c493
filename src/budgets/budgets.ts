/**
 * How large what a task's workflow, its hosts and its callers hand each other may become. All sizes are bytes of UTF-8
 * of encoded JSON, the form in which Temporal gets it. Temporal refuses a list of payloads over 2 MiB and a call over 4
 * MiB; a workflow task that is refused for its size is tried again forever, so nothing may come near.
 */

const KIB = 1024;

/** What a payload codec may add to one payload: key id, initialisation vector, tag, encoding and an envelope. */
export const CODEC_BYTES = 4 * KIB;

export const BUDGETS = {
  /** One delivery to a host (workflows/outbox.ts): small, so that a step is quick and what is lost with it is little. */
  delivery: 256 * KIB,
  /** Messages in it. */
  deliveryMessages: 100,
  /** What continue-as-new hands over (workflows/continue-as-new.ts), input and task together. */
  carried: 1024 * KIB - 2 * CODEC_BYTES,
  /** Answer of the query `state` (workflows/status-budget.ts), of which the parts follow. */
  state: 256 * KIB - CODEC_BYTES,
  /** `pending` there, oldest first. */
  statePending: 96 * KIB,
  /** One of `warnings` there. */
  warning: 2 * KIB,
  /** `ui` of an input, which `state` hands on (input/task-schema.ts). */
  ui: 64 * KIB,
  /** `files` of an input (input/task-schema.ts): whoever looks for blobs in use reads them there. */
  files: 96 * KIB,
  /** Metadata of a captured seed and the excludes of a snapshot (input/task-schema.ts): steps of the end carry them. */
  settings: 32 * KIB,
  /** `controls`: a provider may list any number of models. */
  controls: 16 * KIB,
  /** `lastError`, and the message of a failed turn. */
  lastError: 4 * KIB,
  /** A text of the agent's progress. */
  progress: 4 * KIB,
  /** Answer of the query `pendingPermissions`, and all open requests as they are carried. */
  openRequests: 240 * KIB,
  /** Decisions that wait for their requests (workflows/permission-requests.ts). */
  earlyDecisions: 64 * KIB,
  /** Rules that a running task was given (workflows/task-rules.ts). */
  rules: 16 * KIB,
  /** A signal, of callers as of hosts; larger messages are stored as blobs. */
  signal: 64 * KIB,
  /** Input of one open request (session/conversation/bounded-input.ts): its signal has its summary too. */
  requestInput: 48 * KIB,
  /** The line for people on an open request. */
  summary: 4 * KIB,
  /** Value of a control, in characters (INTERFACE: `setControl.value`). */
  controlValue: 256,
  /** Answer of a hook that goes to the model. */
  hookAnswer: 48 * KIB,
  /** Ids that are remembered of messages and of settled requests, each kind. */
  rememberedIds: 64 * KIB,
  /** Ids that are remembered of hook requests. */
  hookRequestIds: 80 * KIB,
  /** Places of what waits in the database: of more of them a list goes there too. */
  keptPlaces: 48 * KIB,
  /** The last message of the agent in the result of a task. */
  finalMessage: 256 * KIB,
  /** What the last turn answered, in the result of a task. */
  output: 256 * KIB,
  /** A JSON Schema for it (input/strict-schema.ts). */
  outputSchema: 64 * KIB,
  /** Details of a failure `BadOutput`: the text, and what does not fit. */
  badOutput: { text: 8 * KIB, faults: 2 * KIB },
  /** List of what a task delivered, in its result. */
  deliverables: 96 * KIB,
  /** Message of a failure, of a step (activities/as-activity.ts) or of a task: Temporal cuts a larger one without its type. */
  failure: 16 * KIB,
  /** Ids of messages that a closed task names (workflows/tear-down.ts). */
  undelivered: 32 * KIB,
  /** The page of a task in Temporal's UI (workflows/current-details.ts). */
  details: 20 * KIB,
  /** A value of a search attribute: Temporal takes 2 KiB, its SQL stores index 255 characters. */
  searchAttribute: 255,
  /** The static summary of a workflow, of which Temporal takes 400 bytes. */
  staticSummary: 380,
  /** An argument of a hook: what it is asked about is smaller, but for the input of a task that resumes. */
  hookArgument: 1_950_000,
  /** An input is put into the database where it is larger, and its step is told where (workflows/launch.ts). */
  prepare: 512 * KIB,
  /** Ids of requests that a next host is told of (workflows/fail-over.ts). */
  movedRequests: 32 * KIB,
  /** What one step that stores or reads texts for a workflow takes or gives. */
  piece: 192 * KIB,
  /** An input of a task, as a client starts it. */
  input: 1_900_000,
} as const;

/** Bytes of one UTF-16 unit of a text in encoded JSON: a surrogate pair has four, a lone surrogate is escaped. */
function bytesAt(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  if (unit < 0x80) {
    if (unit === 0x22 || unit === 0x5c) return 2;
    if (unit >= 0x20) return 1;
    return SHORT_ESCAPES.has(unit) ? 2 : 6;
  }
  if (unit < 0x800) return 2;
  if (unit < 0xd800 || unit > 0xdfff) return 3;
  return isPaired(text, at) ? 2 : 6;
}

/** \b \t \n \f \r */
const SHORT_ESCAPES = new Set([8, 9, 10, 12, 13]);

const isHigh = (unit: number) => unit >= 0xd800 && unit <= 0xdbff;
const isLow = (unit: number) => unit >= 0xdc00 && unit <= 0xdfff;

function isPaired(text: string, at: number): boolean {
  return isHigh(text.charCodeAt(at)) ? isLow(text.charCodeAt(at + 1)) : isHigh(text.charCodeAt(at - 1));
}

/** Bytes of a text in encoded JSON, without its quotes. */
export function textBytes(text: string): number {
  let bytes = 0;
  for (let at = 0; at < text.length; at++) bytes += bytesAt(text, at);
  return bytes;
}

/** Bytes of a value as encoded JSON; what JSON leaves out has none. */
export function jsonBytes(value: unknown): number {
  if (typeof value === 'string') return textBytes(value) + 2;
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) return 0;
  let bytes = 0;
  for (let at = 0; at < json.length; at++) {
    const unit = json.charCodeAt(at);
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return bytes;
}

/** Where a text is to end so that it has at most `maxBytes` in encoded JSON, between two code points. */
function endWithin(text: string, maxBytes: number, from = 0): number {
  let bytes = 0;
  let at = from;
  while (at < text.length) {
    const width = isHigh(text.charCodeAt(at)) && isPaired(text, at) ? 2 : 1;
    bytes += width === 2 ? 4 : bytesAt(text, at);
    if (bytes > maxBytes) return at;
    at += width;
  }
  return text.length;
}

/** The beginning of a text that has at most `maxBytes` in encoded JSON. */
export const headOf = (text: string, maxBytes: number): string => text.slice(0, endWithin(text, maxBytes));

/** The text, or its beginning and `…`, with at most `maxBytes` in encoded JSON. */
export function cutText(text: string, maxBytes: number): string {
  // No unit has more than six bytes, and most texts are short.
  if (text.length * 6 <= maxBytes || textBytes(text) <= maxBytes) return text;
  return `${headOf(text, maxBytes - ELLIPSIS_BYTES)}…`;
}

const ELLIPSIS_BYTES = 3;

/** A text in pieces of at most `maxBytes` of encoded JSON each, at least one. Together they are the text. */
export function piecesOf(text: string, maxBytes: number): string[] {
  const pieces: string[] = [];
  let from = 0;
  do {
    const end = endWithin(text, maxBytes, from);
    pieces.push(text.slice(from, end));
    from = end;
  } while (from < text.length);
  return pieces;
}

/** Room for the line that counts what is left out. */
const COUNT_BYTES = 40;
const MORE = /^… and (\d+) more$/;

/** A text of lines with at most `maxBytes`: as many whole lines as fit, at least the beginning of the first, and a count. */
export function cutLines(text: string, maxBytes: number): string {
  if (text.length * 6 <= maxBytes || textBytes(text) <= maxBytes) return text;
  const lines = text.split('\n');
  const earlier = Number(MORE.exec(lines.at(-1) ?? '')?.[1] ?? 0);
  if (earlier > 0) lines.pop();
  const kept = linesWithin(lines, maxBytes);
  const more = lines.length - kept.length + earlier;
  return more === 0 ? kept.join('\n') : [...kept, `… and ${more} more`].join('\n');
}

/** The first lines, the very first one cut where it must be. */
export function linesWithin(lines: Iterable<string>, maxBytes: number): string[] {
  const kept: string[] = [];
  let left = maxBytes - COUNT_BYTES;
  for (const line of lines) {
    const cut = kept.length === 0 ? cutText(line, left) : line;
    left -= textBytes(cut) + 2;
    if (kept.length > 0 && left < 0) break;
    kept.push(cut);
  }
  return kept;
}

/** How many of these, from the first on, have at most `maxBytes` together, as members of a list. */
export function countWithin(items: Iterable<unknown>, maxBytes: number): number {
  let count = 0;
  // A list has as many commas and brackets as members, and one more.
  let left = maxBytes - 1;
  for (const item of items) {
    left -= jsonBytes(item) + 1;
    if (left < 0) break;
    count++;
  }
  return count;
}

/** The first of these that fit, and how many do not. */
export function firstWithin<T>(items: readonly T[], maxBytes: number): { kept: T[]; more: number } {
  const kept = items.slice(0, countWithin(items, maxBytes));
  return { kept, more: items.length - kept.length };
}
