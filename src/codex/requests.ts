import type { WordPart } from 'unbash';
import type { ApprovalPolicy, PermissionDecision, PermissionKind } from '../contract/index.js';
import { answerFault, isMcpToolCall } from '../input/answers.js';
import { extrasOf } from '../input/request-extras.js';
import { isRecord, readRequest } from './narrow.js';
import { parseShell } from './parse-shell.js';
import type { ServerRequests } from './protocol.js';
import { toWellFormed } from './well-formed.js';

/** A request of codex as it is shown to whoever decides. */
export interface DescribedRequest {
  readonly kind: PermissionKind;
  /** One line for people. */
  readonly summary: string;
  /** Codex's parameters; `changes` joined in for a file change, which carries none itself. */
  readonly input: Record<string, unknown>;
}

const KINDS: Partial<Record<keyof ServerRequests, PermissionKind>> = {
  'item/commandExecution/requestApproval': 'command',
  'item/fileChange/requestApproval': 'fileChange',
  'item/permissions/requestApproval': 'permissions',
  'item/tool/requestUserInput': 'userInput',
  // Also the approval of every MCP tool call.
  'mcpServer/elicitation/request': 'elicitation',
};

const SUMMARY_CHARS = 300;

/** What is known of a request besides its parameters. */
export interface RequestContext {
  /** What codex asks about at all. */
  readonly policy?: ApprovalPolicy | undefined;
  /** Whether every command of the task has the network. */
  readonly network?: boolean | undefined;
  /** The command of the item that the request names, when it was seen. */
  readonly command?: string | undefined;
}

/**
 * Describes a server request of codex, or gives null for one that nobody can decide: of another kind, or without the
 * fields of its kind.
 * @param changes the changes of the file change item that the request names, when it was seen
 * @param known what is known besides the parameters, or only what codex asks about
 */
export function describeRequest(
  method: string,
  params: unknown,
  changes?: unknown,
  known: RequestContext | ApprovalPolicy = {},
): DescribedRequest | null {
  const request = readRequest(method, params);
  const named = request && KINDS[request.method];
  if (!named || !isRecord(params)) return null;
  const kind = named === 'command' && params['kind'] === 'writeStdin' ? 'stdin' : named;
  const input = kind === 'fileChange' && changes !== undefined ? { ...params, changes } : params;
  return {
    kind,
    summary: oneLine(summaryOf(kind, input, typeof known === 'string' ? { policy: known } : known)),
    input,
  };
}

/** The MCP tool whose call an elicitation asks to approve; null when it asks for something else. */
export function toolCallOf(input: Readonly<Record<string, unknown>>): string | null {
  return isMcpToolCall(input) ? (text(record(input['_meta'])?.['tool_name']) ?? null) : null;
}

/**
 * The result that tells codex a decision. A denied command or file change is declined and the turn continues; `cancel`
 * would end it.
 */
export function answerFor(
  kind: PermissionKind,
  input: Record<string, unknown>,
  decision: Pick<PermissionDecision, 'behavior' | 'scope' | 'updatedInput'>,
): Record<string, unknown> {
  // What nobody filled in is not accepted.
  const lacks = kind !== 'permissions' && answerFault(kind, input, decision) !== null;
  const allowed = decision.behavior === 'allow' && !lacks;
  const session = decision.scope === 'session';
  const updated = decision.updatedInput;
  switch (kind) {
    case 'command':
    case 'stdin':
    case 'tool':
    case 'fileChange':
      return { decision: allowed ? (session ? 'acceptForSession' : 'accept') : 'decline' };
    case 'permissions':
      return {
        permissions: allowed ? granted(updated, input['permissions']) : {},
        scope: session ? 'session' : 'turn',
      };
    case 'userInput':
      return { answers: allowed ? answersOf(record(updated?.['answers']) ?? updated ?? {}) : {} };
    case 'elicitation':
      return allowed
        ? { action: 'accept', content: contentOf(updated, input), _meta: sessionMeta(input, session) }
        : { action: 'decline', content: null, _meta: null };
  }
}

/** All that was asked for, or what of it was named: nothing named is nothing. Codex takes none that is null. */
function granted(updated: Record<string, unknown> | undefined, asked: unknown): Record<string, unknown> {
  const given = updated === undefined ? (record(asked) ?? {}) : (record(updated['permissions']) ?? updated);
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));
}

/** Answers by question id; a text or a list of texts stands for codex's `{answers: […]}`. */
function answersOf(answers: Record<string, unknown>): Record<string, unknown> {
  const answer = (value: unknown) =>
    typeof value === 'string' ? { answers: [value] } : Array.isArray(value) ? { answers: value } : value;
  return Object.fromEntries(Object.entries(answers).map(([id, value]) => [id, answer(value)]));
}

function contentOf(updated: Record<string, unknown> | undefined, input: Record<string, unknown>): unknown {
  return input['mode'] === 'url' ? null : (updated?.['content'] ?? updated ?? {});
}

/** An MCP tool approval says in `_meta.persist` whether it may hold for the session. */
function sessionMeta(input: Record<string, unknown>, session: boolean): Record<string, unknown> | null {
  const persist = record(input['_meta'])?.['persist'];
  const offered = persist === 'session' || (Array.isArray(persist) && persist.includes('session'));
  return session && offered ? { persist: 'session' } : null;
}

function summaryOf(kind: PermissionKind, input: Record<string, unknown>, known: RequestContext): string {
  const reason = text(input['reason']);
  switch (kind) {
    case 'command':
      return `${commandSummary(input, known)}${because(reason)}`;
    case 'stdin': {
      const typed = typedText(text(input['command']) ?? '');
      const into = known.command === undefined ? 'an unknown command' : `the running ${known.command}`;
      return `Type ${typed === null ? 'unknown text' : JSON.stringify(typed)} into ${into}${because(reason)}`;
    }
    case 'fileChange':
      return `Change ${rootOf(input)}${changedPaths(input['changes']) ?? 'unknown files'}${because(reason)}`;
    case 'permissions':
      return `Grant more permissions${moreOf(kind, input)}${because(reason)}`;
    case 'userInput':
      return `Answer: ${questions(input['questions']) ?? 'a question'}`;
    case 'tool':
    case 'elicitation':
      return `${text(input['serverName']) ?? 'MCP server'}: ${text(input['message']) ?? text(input['title']) ?? 'asks for an answer'}`;
  }
}

/**
 * What happens when a command is allowed. With permissions of its own it stays in the sandbox; one that codex asks
 * about under `untrusted` without a reason may do so too (codex gives none for an escalated command either that
 * came without a justification). Outside it keeps namespaces of its own and the network of the task.
 */
function commandSummary(input: Record<string, unknown>, { policy, network }: RequestContext): string {
  const { command, additionalPermissions, networkApprovalContext: context, kind } = input;
  const what = onOneLine(text(command)) ?? 'an unknown command';
  if (kind !== undefined && kind !== null && kind !== 'command') return `Approve (${shown(kind)}): ${what}`;
  const host = isRecord(context) ? ` to ${shown(context['host'])} (${shown(context['protocol'])})` : '';
  const more = moreOf('command', input);
  if (isRecord(additionalPermissions)) return `Run in the sandbox, with more rights${more}: ${what}`;
  if (context !== undefined && context !== null) return `Connect${host}: ${what}`;
  const isSure = text(input['reason']) !== undefined || (policy !== undefined && policy !== 'untrusted');
  const reach = network === undefined ? '' : network ? ', with the network' : ', without the network';
  return `Run ${isSure ? 'outside' : 'perhaps outside'} the sandbox, free to read and write what the worker’s user may${reach}: ${what}`;
}

/** What a request asks for beyond the sandbox, as words. */
function moreOf(kind: PermissionKind, input: Record<string, unknown>): string {
  const { hosts, paths, isUnknown } = extrasOf(kind, input);
  const parts = [
    ...hosts.map((host) => `network to ${host === '*' ? 'any host' : host}`),
    ...paths.map(({ path, access }) => `${access === 'rw' ? 'write' : 'read'} ${path}`),
    ...(isUnknown ? ['something unknown'] : []),
  ];
  return parts.length > 0 ? ` [${parts.join(', ')}]` : '';
}

const shown = (value: unknown): string => text(value) ?? JSON.stringify(value) ?? 'unknown';

/** The text that `write_stdin --session-id N '…'` types; null: it is not of that form. */
export function typedText(command: string): string | null {
  const { commands, errors } = parseShell(command);
  const node = commands.length === 1 && !errors?.length ? commands[0]!.command : null;
  if (node?.type !== 'Command' || node.name?.value !== 'write_stdin' || node.args.length !== 3) return null;
  const last = node.args[2]!;
  if (node.args[0]!.text !== '--session-id' || last.type !== 'Word') return null;
  const isPlain = (last.parts ?? []).every((part) => LITERAL.has(part.type) || isLiteralQuote(part));
  return isPlain ? last.value : null;
}

const LITERAL = new Set<string>(['Literal', 'SingleQuoted', 'AnsiCQuoted']);
const isLiteralQuote = (part: WordPart): boolean =>
  part.type === 'DoubleQuoted' && part.parts.every(({ type }) => type === 'Literal');

const because = (reason: string | undefined) => (reason ? ` (${reason})` : '');

function changedPaths(changes: unknown): string | undefined {
  const paths = list(changes).flatMap((change) => {
    const path = text(record(change)?.['path']);
    const moved = text(record(record(change)?.['kind'])?.['move_path']);
    return path === undefined ? [] : moved === undefined ? path : `${path} → ${moved}`;
  });
  return paths.length > 0 ? paths.join(', ') : undefined;
}

/** The folder in which codex would ask about no more changes. */
const rootOf = ({ grantRoot }: Record<string, unknown>): string =>
  grantRoot === undefined || grantRoot === null ? '' : `whatever is below ${shown(grantRoot)}, at first `;

function questions(value: unknown): string | undefined {
  const texts = list(value).flatMap((question) => text(record(question)?.['question']) ?? []);
  return texts.length > 0 ? texts.join(' / ') : undefined;
}

/** A new line may begin another command: it is shown. */
const onOneLine = (command: string | undefined) => command?.replace(/\s*\n\s*/g, ' ⏎ ');

/** Signs that a reader does not see, or that put others elsewhere on the screen. */
const UNSEEN = /[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
const escaped = (sign: string) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`;

function oneLine(summary: string): string {
  const line = summary.replace(/\s+/g, ' ').trim().replace(UNSEEN, escaped);
  return line.length > SUMMARY_CHARS ? `${toWellFormed(line.slice(0, SUMMARY_CHARS - 1))}…` : line;
}

const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const record = (value: unknown) => (isRecord(value) ? value : undefined);
