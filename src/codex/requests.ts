import type { ApprovalPolicy, PermissionDecision, PermissionKind } from '../contract.js';
import { isRecord, readRequest } from './narrow.js';
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
  // Also the approval of every MCP tool call (codex 0.169.0).
  'mcpServer/elicitation/request': 'elicitation',
};

const SUMMARY_CHARS = 300;

/**
 * Describes a server request of codex 0.169.0, or gives null for one that nobody can decide: of another kind,
 * or without the fields of its kind.
 * @param changes the changes of the file change item that the request names, when it was seen
 * @param policy what codex asks about at all, when that is known
 */
export function describeRequest(
  method: string,
  params: unknown,
  changes?: unknown,
  policy?: ApprovalPolicy,
): DescribedRequest | null {
  const request = readRequest(method, params);
  const kind = request && KINDS[request.method];
  if (!kind || !isRecord(params)) return null;
  const input = kind === 'fileChange' && changes !== undefined ? { ...params, changes } : params;
  return { kind, summary: oneLine(summaryOf(kind, input, policy)), input };
}

/** The MCP tool whose call an elicitation asks to approve; null when it asks for something else. */
export function toolCallOf(input: Readonly<Record<string, unknown>>): string | null {
  const meta = record(input['_meta']);
  return meta?.['codex_approval_kind'] === 'mcp_tool_call' ? (text(meta['tool_name']) ?? null) : null;
}

/**
 * The result that tells codex a decision. A denied command or file change is declined and the turn goes on;
 * `cancel` would end it.
 */
export function answerFor(
  kind: PermissionKind,
  input: Record<string, unknown>,
  decision: Pick<PermissionDecision, 'behavior' | 'scope' | 'updatedInput'>,
): Record<string, unknown> {
  const allowed = decision.behavior === 'allow';
  const session = decision.scope === 'session';
  const updated = decision.updatedInput;
  switch (kind) {
    case 'command':
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

/** The permissions that were named, or all that were asked for. Codex takes none that is null. */
function granted(updated: Record<string, unknown> | undefined, asked: unknown): Record<string, unknown> {
  const named = record(updated?.['permissions']) ?? updated ?? {};
  const given = Object.keys(named).length > 0 ? named : (record(asked) ?? {});
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

function summaryOf(kind: PermissionKind, input: Record<string, unknown>, policy?: ApprovalPolicy): string {
  const reason = text(input['reason']);
  switch (kind) {
    case 'command': {
      const command = text(input['command']) ?? 'a command';
      return `Run ${whereOf(reason, policy)} the sandbox, with the rights of the worker: ${command}${because(reason)}`;
    }
    case 'fileChange':
      return `Change ${changedPaths(input['changes']) ?? 'files'}${because(reason)}`;
    case 'permissions':
      return `Grant more permissions${because(reason)}`;
    case 'userInput':
      return `Answer: ${questions(input['questions']) ?? 'a question'}`;
    case 'elicitation':
      return `${text(input['serverName']) ?? 'MCP server'}: ${text(input['message']) ?? text(input['title']) ?? 'asks for an answer'}`;
  }
}

/**
 * Codex asks before a sandboxed command only under `untrusted`, and gives no reason then; but it gives none either
 * for an escalated command that came without a justification (0.169.0).
 */
const whereOf = (reason: string | undefined, policy?: ApprovalPolicy): string =>
  reason === undefined && (policy === undefined || policy === 'untrusted') ? 'perhaps outside' : 'outside';

const because = (reason: string | undefined) => (reason ? ` (${reason})` : '');

function changedPaths(changes: unknown): string | undefined {
  const paths = list(changes).flatMap((change) => text(record(change)?.['path']) ?? []);
  return paths.length > 0 ? paths.join(', ') : undefined;
}

function questions(value: unknown): string | undefined {
  const texts = list(value).flatMap((question) => text(record(question)?.['question']) ?? []);
  return texts.length > 0 ? texts.join(' / ') : undefined;
}

function oneLine(summary: string): string {
  const line = summary.replace(/\s+/g, ' ').trim();
  return line.length > SUMMARY_CHARS ? `${toWellFormed(line.slice(0, SUMMARY_CHARS - 1))}…` : line;
}

const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const record = (value: unknown) => (isRecord(value) ? value : undefined);
