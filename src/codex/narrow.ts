import { TaskError } from '../errors.js';
import type {
  ClientCalls,
  CodexErrorInfo,
  Model,
  RateLimitSnapshot,
  ServerNotifications,
  ServerRequests,
  ThreadItem,
  Turn,
} from './protocol.js';

/** A notification that this project reads. */
export type ServerNotification = {
  [M in keyof ServerNotifications]: { method: M; params: ServerNotifications[M] };
}[keyof ServerNotifications];

/** A request of codex that this project answers. */
export type ServerRequest = {
  [M in keyof ServerRequests]: { method: M; params: ServerRequests[M]['params'] };
}[keyof ServerRequests];

export const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The notification with its parameters narrowed; undefined when it is none that is read, or malformed. */
export function readNotification(method: string, params: unknown): ServerNotification | undefined {
  const holds = NOTIFICATIONS.get(method);
  return holds && isRecord(params) && holds(params)
    ? ({ method, params } as unknown as ServerNotification)
    : undefined;
}

/** The request with its parameters narrowed; undefined when it is none that is answered, or malformed. */
export function readRequest(method: string, params: unknown): ServerRequest | undefined {
  const holds = REQUESTS.get(method);
  return holds && isRecord(params) && holds(params)
    ? ({ method, params } as unknown as ServerRequest)
    : undefined;
}

/**
 * The result of a call, narrowed.
 * @throws TaskError `CodexFailed` when a field that is relied on is missing
 */
export function readResult<M extends keyof ClientCalls>(
  method: M,
  result: unknown,
): ClientCalls[M]['result'] {
  if (isRecord(result) && RESULTS[method](result)) return result;
  throw new TaskError('CodexFailed', `codex answered ${method} in an unknown form; check its version`);
}

/** The name of the failure: codex writes it as a string or as the only key of an object. */
export const errorKind = (info: CodexErrorInfo | null | undefined): string =>
  typeof info === 'string' ? info : (Object.keys(info ?? {})[0] ?? 'other');

type Fields = Record<string, unknown>;
type Check = (params: Fields) => boolean;

const text = (value: unknown): value is string => typeof value === 'string';
const textIn =
  (...names: string[]): Check =>
  (fields) =>
    names.every((name) => text(fields[name]));
const recordIn =
  (...names: string[]): Check =>
  (fields) =>
    names.every((name) => isRecord(fields[name]));
const listOf = (value: unknown, holds: (part: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(holds);

const isItem = (value: unknown): value is ThreadItem =>
  isRecord(value) && text(value['id']) && text(value['type']);
const isTurn = (value: unknown): value is Turn =>
  isRecord(value) && text(value['id']) && text(value['status']) && listOf(value['items'], isItem);
const isThread = (value: unknown): boolean =>
  isRecord(value) && text(value['id']) && isRecord(value['status']) && listOf(value['turns'], isTurn);
const isModel = (value: unknown): value is Model =>
  isRecord(value) && text(value['id']) && Array.isArray(value['supportedReasoningEfforts']);
const isRateLimits = (value: unknown): value is RateLimitSnapshot => isRecord(value);
const isTurnError = (value: unknown): boolean => isRecord(value) && text(value['message']);

const inTurn = textIn('threadId', 'turnId');
const inItem = textIn('threadId', 'turnId', 'itemId');
/** What begins or ends a turn needs its id and status; whether it brings items, and which, is not read. */
const withTurn: Check = ({ threadId, turn }) =>
  text(threadId) && isRecord(turn) && text(turn['id']) && text(turn['status']);
const withItem: Check = (fields) => inTurn(fields) && isItem(fields['item']);
const withThread: Check = (fields) => isThread(fields['thread']);
const anything: Check = () => true;

const NOTIFICATIONS = new Map(
  Object.entries({
    error: (fields) =>
      inTurn(fields) && isTurnError(fields['error']) && typeof fields['willRetry'] === 'boolean',
    'thread/status/changed': (fields) => text(fields['threadId']) && isRecord(fields['status']),
    'thread/settings/updated': (fields) =>
      text(fields['threadId']) &&
      isRecord(fields['threadSettings']) &&
      text(fields['threadSettings']['model']),
    'thread/tokenUsage/updated': (fields) =>
      inTurn(fields) && isRecord(fields['tokenUsage']) && isRecord(fields['tokenUsage']['total']),
    'turn/started': withTurn,
    'turn/completed': withTurn,
    'item/started': withItem,
    'item/completed': withItem,
    'item/agentMessage/delta': (fields) => inItem(fields) && text(fields['delta']),
    'serverRequest/resolved': (fields) => text(fields['threadId']) && isRequestId(fields['requestId']),
    'account/rateLimits/updated': (fields) => isRateLimits(fields['rateLimits']),
    'account/login/completed': (fields) => typeof fields['success'] === 'boolean',
    'model/rerouted': textIn('threadId', 'turnId', 'fromModel', 'toModel'),
    warning: textIn('message'),
    configWarning: textIn('summary'),
  } satisfies Record<keyof ServerNotifications, Check>),
);

const REQUESTS = new Map(
  Object.entries({
    'item/commandExecution/requestApproval': inItem,
    'item/fileChange/requestApproval': inItem,
    'item/permissions/requestApproval': (fields) => inItem(fields) && isRecord(fields['permissions']),
    'item/tool/requestUserInput': (fields) => inItem(fields) && Array.isArray(fields['questions']),
    'mcpServer/elicitation/request': textIn('threadId', 'serverName', 'mode'),
    'account/chatgptAuthTokens/refresh': textIn('reason'),
  } satisfies Record<keyof ServerRequests, Check>),
);

const RESULTS: Record<keyof ClientCalls, Check> = {
  initialize: textIn('codexHome', 'userAgent'),
  'thread/start': (fields) => withThread(fields) && text(fields['model']),
  'thread/resume': (fields) => withThread(fields) && text(fields['model']),
  'thread/revert': withThread,
  'thread/loaded/list': (fields) => listOf(fields['data'], text),
  'thread/turns/list': (fields) => listOf(fields['data'], isTurn),
  'thread/items/list': (fields) =>
    listOf(fields['data'], (entry) => isRecord(entry) && text(entry['turnId']) && isItem(entry['item'])),
  'thread/compact/start': anything,
  'thread/backgroundTerminals/clean': anything,
  'thread/backgroundTerminals/list': (fields) =>
    listOf(fields['data'], (entry) => isRecord(entry) && text(entry['command'])),
  'turn/start': (fields) => isTurn(fields['turn']),
  'turn/steer': textIn('turnId'),
  'turn/interrupt': anything,
  'model/list': (fields) => listOf(fields['data'], isModel),
  'account/read': anything,
  'account/login/start': (fields) =>
    fields['type'] === 'chatgptDeviceCode'
      ? textIn('loginId', 'userCode', 'verificationUrl')(fields)
      : text(fields['type']),
  'account/login/cancel': anything,
  'account/rateLimits/read': recordIn('rateLimits'),
  'account/usage/read': recordIn('summary'),
  'command/exec': (fields) => typeof fields['exitCode'] === 'number' && textIn('stdout', 'stderr')(fields),
};

function isRequestId(value: unknown): boolean {
  return text(value) || typeof value === 'number';
}
