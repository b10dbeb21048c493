import type {
  CommandExecutionStatus,
  ThreadItem,
  TurnStatus,
  UserMessagePart,
} from '../../contract/codex/turns.js';
import {
  anything,
  isFields,
  listOf,
  maybe,
  maybeNull,
  number,
  oneOf,
  shape,
  tagged,
  text,
  type Check,
} from './fields.js';

const named = shape({ id: text });
const outcomes = ['inProgress', 'completed', 'failed', 'declined'] satisfies CommandExecutionStatus[];
const status = oneOf(...outcomes);
const change = shape({
  path: text,
  kind: tagged('type', {
    add: anything,
    delete: anything,
    update: shape({ move_path: maybeNull(text) }),
  }),
  diff: text,
});
const part = tagged('type', {
  text: shape({ text }),
  localImage: shape({ path: text }),
  image: shape({ url: maybe(text) }),
} satisfies Record<UserMessagePart['type'], Check>);

export const changes = listOf(change);

const ITEMS: Record<ThreadItem['type'], Check> = {
  userMessage: shape({ id: text, clientId: maybeNull(text), content: listOf(part) }),
  agentMessage: shape({ id: text, text, phase: maybeNull(text) }),
  reasoning: shape({ id: text, summary: maybe(listOf(text)), content: maybe(listOf(text)) }),
  commandExecution: shape({
    id: text,
    command: text,
    cwd: text,
    status,
    processId: maybeNull(text),
    aggregatedOutput: maybeNull(text),
    exitCode: maybeNull(number),
    durationMs: maybeNull(number),
  }),
  fileChange: shape({ id: text, changes, status }),
  mcpToolCall: shape({
    id: text,
    server: text,
    tool: text,
    status: oneOf('inProgress', 'completed', 'failed'),
    error: maybeNull(shape({ message: text })),
  }),
  plan: shape({ id: text, text }),
  webSearch: shape({ id: text, query: text }),
  subAgentActivity: shape({
    id: text,
    agentThreadId: text,
    kind: oneOf('started', 'interacted', 'interrupted', 'completed'),
  }),
  collabAgentToolCall: shape({
    id: text,
    tool: text,
    status: oneOf('inProgress', 'completed', 'failed', 'interrupted'),
    receiverThreadIds: listOf(text),
  }),
  hookPrompt: named,
  functionCallOutput: named,
  dynamicToolCall: named,
  imageView: named,
  sleep: named,
  imageGeneration: named,
  enteredReviewMode: named,
  exitedReviewMode: named,
  contextCompaction: named,
};
export const item: Check = tagged('type', ITEMS);

/** Its kind is a word or an object of one key. */
const errorInfo: Check = (value) =>
  text(value) || (isFields(value) && Object.values(value).every((each) => isFields(each)));
export const turnError = shape({
  message: text,
  codexErrorInfo: maybeNull(errorInfo),
  additionalDetails: maybeNull(text),
});
const statuses = ['completed', 'interrupted', 'failed', 'inProgress'] satisfies TurnStatus[];
export const turn = shape({
  id: text,
  items: listOf(item),
  status: oneOf(...statuses),
  error: maybeNull(turnError),
  startedAt: maybeNull(number),
  completedAt: maybeNull(number),
  durationMs: maybeNull(number),
});
