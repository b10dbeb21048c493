import type { CodexNotificationMethod, CodexRequestMethod } from '../../contract/events.js';
import {
  isFields,
  listOf,
  maybeNull,
  number,
  oneOf,
  shape,
  tagged,
  text,
  truth,
  type Check,
} from './fields.js';
import { changes, item, turn, turnError } from './turns.js';

const inTurn = { threadId: text, turnId: text };
const inItem = { ...inTurn, itemId: text };
const withItem = shape({ ...inTurn, item });
const withTurn = shape({ threadId: text, turn });
const object: Check = isFields;

const usage = shape({
  totalTokens: number,
  inputTokens: number,
  cachedInputTokens: number,
  outputTokens: number,
  reasoningOutputTokens: number,
});
const limitWindow = shape({
  usedPercent: number,
  windowDurationMins: maybeNull(number),
  resetsAt: maybeNull(number),
});
const rateLimits = shape({
  limitId: maybeNull(text),
  primary: maybeNull(limitWindow),
  secondary: maybeNull(limitWindow),
  credits: maybeNull(shape({ hasCredits: truth, unlimited: truth, balance: maybeNull(text) })),
  individualLimit: maybeNull(shape({ remainingPercent: number, resetsAt: number })),
  spendControlReached: maybeNull(truth),
  rateLimitReachedType: maybeNull(text),
});
const threadStatus = tagged('type', {
  notLoaded: object,
  idle: object,
  systemError: object,
  active: shape({ activeFlags: listOf(text) }),
});

/** What the parameters of each notification hold. */
export const NOTIFICATIONS: Record<CodexNotificationMethod, Check> = {
  'thread/started': shape({ thread: shape({ id: text }) }),
  'thread/status/changed': shape({ threadId: text, status: threadStatus }),
  'thread/settings/updated': shape({
    threadId: text,
    threadSettings: shape({ model: text, effort: maybeNull(text) }),
  }),
  'thread/tokenUsage/updated': shape({ ...inTurn, tokenUsage: shape({ total: usage }) }),
  'turn/started': withTurn,
  'turn/completed': withTurn,
  'turn/diff/updated': shape({ ...inTurn, diff: text }),
  'turn/plan/updated': shape({
    ...inTurn,
    explanation: maybeNull(text),
    plan: listOf(shape({ step: text, status: oneOf('pending', 'inProgress', 'completed') })),
  }),
  'item/started': withItem,
  'item/completed': withItem,
  'item/agentMessage/delta': shape({ ...inItem, delta: text }),
  'item/reasoning/summaryTextDelta': shape({ ...inItem, delta: text, summaryIndex: number }),
  'item/reasoning/textDelta': shape({ ...inItem, delta: text, contentIndex: number }),
  'item/plan/delta': shape({ ...inItem, delta: text }),
  'item/fileChange/patchUpdated': shape({ ...inItem, changes }),
  'item/mcpToolCall/progress': shape({ ...inItem, message: text }),
  'serverRequest/resolved': shape({ threadId: text, requestId: (id) => text(id) || number(id) }),
  'account/rateLimits/updated': shape({ rateLimits }),
  'model/rerouted': shape({ ...inTurn, fromModel: text, toModel: text }),
  configWarning: shape({ summary: text, details: maybeNull(text) }),
  warning: shape({ threadId: maybeNull(text), message: text }),
  error: shape({ ...inTurn, error: turnError, willRetry: truth }),
};

const elicitation = { threadId: text, turnId: maybeNull(text), serverName: text };
const asking = shape({ ...elicitation, message: text });

/** What the parameters of each request hold. */
export const REQUESTS: Record<CodexRequestMethod, Check> = {
  'item/commandExecution/requestApproval': shape({
    ...inItem,
    command: maybeNull(text),
    cwd: maybeNull(text),
    reason: maybeNull(text),
    additionalPermissions: maybeNull(object),
    networkApprovalContext: maybeNull(shape({ host: text, protocol: text })),
  }),
  'item/fileChange/requestApproval': shape({
    ...inItem,
    reason: maybeNull(text),
    grantRoot: maybeNull(text),
  }),
  'item/permissions/requestApproval': shape({
    ...inItem,
    cwd: text,
    reason: maybeNull(text),
    permissions: object,
  }),
  'item/tool/requestUserInput': shape({
    ...inItem,
    questions: listOf(
      shape({
        id: text,
        header: text,
        question: text,
        options: maybeNull(listOf(shape({ label: text, description: text }))),
      }),
    ),
  }),
  'mcpServer/elicitation/request': tagged('mode', {
    form: asking,
    'openai/form': asking,
    openaiForm: asking,
    url: asking,
    'openai/userVerification': shape({ ...elicitation, title: text }),
  }),
};
