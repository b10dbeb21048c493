import type { PermissionDecision, PermissionKind } from '../contract/index.js';
import { isObject } from './clean-json.js';
import { extrasOf } from './request-extras.js';

type Input = Readonly<Record<string, unknown>>;

/** Whether an elicitation is the approval of an MCP tool's call. */
export const isMcpToolCall = (input: Input): boolean => {
  const meta = input['_meta'];
  return isObject(meta) && meta['codex_approval_kind'] === 'mcp_tool_call';
};

/**
 * Whether only a person can answer a request: a question, a form with fields that must be filled in, a page to be
 * visited, and whatever is not understood. Nobody else may answer these by a bare "allow".
 */
export function needsPerson(kind: PermissionKind, input: Input, isCut = false): boolean {
  if (kind === 'userInput') return isCut || questionIds(input).length > 0;
  if (kind !== 'elicitation' || isMcpToolCall(input)) return false;
  const { mode } = input;
  if (mode !== undefined && !isForm(mode)) return true;
  return isCut || requiredFields(input).length > 0;
}

/** What of a decision answers its request; `updatedInput` as it came. */
export type Answer = Pick<PermissionDecision, 'behavior'> & { readonly updatedInput?: unknown };

/**
 * What keeps a decision from answering its request, as a text that names the fields; null: nothing.
 * A denial answers everything.
 */
export function answerFault(kind: PermissionKind, input: Input, answer: Answer): string | null {
  const { behavior, updatedInput } = answer;
  if (behavior === 'deny' || !takesInput(kind, input)) return null;
  const given = updatedInput ?? undefined;
  // A value that is no object names nothing, and would otherwise grant all that was asked for.
  if (given !== undefined && !isObject(given)) return 'updated_input: expected an object';
  const missing = missingAnswers(kind, input, given ?? {});
  if (missing.length > 0) return `updated_input lacks ${missing.join(', ')}`;
  if (kind !== 'permissions' || given === undefined) return null;
  return isPartOf(given, input) ? null : 'updated_input.permissions: more than was asked for';
}

/** Whether an answer may say more than yes or no. */
const takesInput = (kind: PermissionKind, input: Input): boolean =>
  kind === 'permissions' || kind === 'userInput' || (kind === 'elicitation' && !isMcpToolCall(input));

function missingAnswers(kind: PermissionKind, input: Input, given: Input): string[] {
  if (kind === 'userInput') {
    const answers = isObject(given['answers']) ? given['answers'] : given;
    return questionIds(input).filter((id) => !isAnswer(answers[id]));
  }
  if (kind !== 'elicitation' || (input['mode'] !== undefined && !isForm(input['mode']))) return [];
  const content = isObject(given['content']) ? given['content'] : given;
  return requiredFields(input).filter((name) => content[name] === undefined || content[name] === null);
}

const isForm = (mode: unknown): boolean => mode === 'form' || mode === 'openai/form' || mode === 'openaiForm';

function questionIds(input: Input): string[] {
  const { questions } = input;
  if (!Array.isArray(questions)) return [];
  return (questions as unknown[]).flatMap((each) =>
    isObject(each) && typeof each['id'] === 'string' ? each['id'] : [],
  );
}

function isAnswer(value: unknown): boolean {
  if (typeof value === 'string') return true;
  const answers = isObject(value) ? value['answers'] : value;
  return Array.isArray(answers) && answers.length > 0;
}

function requiredFields(input: Input): string[] {
  const schema = input['requestedSchema'];
  const required = isObject(schema) ? schema['required'] : [];
  return Array.isArray(required) ? (required as unknown[]).filter((each) => typeof each === 'string') : [];
}

/** Whether permissions that are named are among those that were asked for. */
function isPartOf(updatedInput: Input, input: Input): boolean {
  const named = updatedInput['permissions'] ?? updatedInput;
  const given = extrasOf('permissions', { permissions: named });
  const asked = extrasOf('permissions', input);
  const has = (path: string, access: string) =>
    asked.paths.some((each) => each.path === path && (each.access === access || each.access === 'rw'));
  return (
    !given.isUnknown &&
    given.hosts.every((host) => asked.hosts.includes(host)) &&
    given.paths.every(({ path, access }) => has(path, access))
  );
}
