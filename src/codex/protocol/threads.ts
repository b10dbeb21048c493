import type { ThreadStatus } from '../../contract/codex/notifications.js';
import type { ThreadItem, Turn, UserInput } from '../../contract/codex/turns.js';

/** Calls about a thread and its turns. */
export interface ThreadCalls {
  'thread/start': { params: ThreadStartParams; result: ThreadStartResponse };
  'thread/resume': { params: ThreadResumeParams; result: ThreadResumeResponse };
  'thread/loaded/list': { params: ThreadLoadedListParams; result: ThreadLoadedListResponse };
  'thread/revert': { params: ThreadRevertParams; result: ThreadRevertResponse };
  'thread/turns/list': { params: ThreadTurnsListParams; result: ThreadTurnsListResponse };
  'thread/items/list': { params: ThreadItemsListParams; result: ThreadItemsListResponse };
  'thread/compact/start': { params: ThreadCompactStartParams; result: ThreadCompactStartResponse };
  'thread/backgroundTerminals/clean': {
    params: ThreadBackgroundTerminalsCleanParams;
    result: ThreadBackgroundTerminalsCleanResponse;
  };
  'thread/backgroundTerminals/list': {
    params: ThreadBackgroundTerminalsListParams;
    result: ThreadBackgroundTerminalsListResponse;
  };
  'turn/start': { params: TurnStartParams; result: TurnStartResponse };
  'turn/steer': { params: TurnSteerParams; result: TurnSteerResponse };
  'turn/interrupt': { params: TurnInterruptParams; result: TurnInterruptResponse };
}

export interface ThreadStartParams {
  cwd?: string | null;
  model?: string | null;
  modelProvider?: string | null;
  approvalPolicy?: AskForApproval | null;
  approvalsReviewer?: ApprovalsReviewer | null;
  /** Id of a permission profile. */
  permissions?: string | null;
}
/** Who answers requests: the client, or a model of codex's. */
export type ApprovalsReviewer = 'user' | 'auto_review' | 'guardian_subagent';
export type AskForApproval = 'untrusted' | 'on-request' | 'never';
export interface ThreadStartResponse {
  thread: Thread;
  model: string;
  modelProvider: string;
  reasoningEffort?: string | null;
  activePermissionProfile?: ActivePermissionProfile | null;
  approvalsReviewer?: ApprovalsReviewer;
}
export interface ThreadResumeParams extends ThreadStartParams {
  threadId: string;
  excludeTurns?: boolean;
}
export type ThreadResumeResponse = ThreadStartResponse;
export interface ActivePermissionProfile {
  id: string;
  extends?: string | null;
}
export interface Thread {
  id: string;
  status: ThreadStatus;
  turns: Turn[];
}
export interface ThreadRevertParams {
  threadId: string;
  /** This turn and all later ones go; files stay. */
  beforeTurnId: string;
}
export interface ThreadRevertResponse {
  thread: Thread;
}
export interface ThreadLoadedListParams {
  cursor?: string | null;
  limit?: number | null;
}
export interface ThreadLoadedListResponse {
  /** Ids of the threads that the process has in memory, sub-agents too. */
  data: string[];
  nextCursor?: string | null;
}
export interface ThreadCompactStartParams {
  threadId: string;
}
export type ThreadCompactStartResponse = object;
export interface ThreadBackgroundTerminalsCleanParams {
  threadId: string;
}
export type ThreadBackgroundTerminalsCleanResponse = object;
export type ThreadBackgroundTerminalsListParams = ThreadBackgroundTerminalsCleanParams;
/** Commands that were started and run on by themselves. */
export interface ThreadBackgroundTerminalsListResponse {
  data: ThreadBackgroundTerminal[];
}
export interface ThreadBackgroundTerminal {
  command: string;
}
export interface ThreadTurnsListParams {
  threadId: string;
  cursor?: string | null;
  limit?: number | null;
  /** Default `desc`. */
  sortDirection?: SortDirection | null;
  itemsView?: TurnItemsView | null;
}
export type SortDirection = 'asc' | 'desc';
export type TurnItemsView = 'notLoaded' | 'summary' | 'full';
export interface ThreadTurnsListResponse {
  data: Turn[];
  nextCursor?: string | null;
}
export interface ThreadItemsListParams {
  threadId: string;
  turnId?: string | null;
  cursor?: string | null;
  limit?: number | null;
  /** Default `asc`. */
  sortDirection?: SortDirection | null;
}
export interface ThreadItemsListResponse {
  data: ThreadItemEntry[];
  nextCursor?: string | null;
}
export interface ThreadItemEntry {
  turnId: string;
  item: ThreadItem;
}

export interface TurnStartParams {
  threadId: string;
  input: UserInput[];
  /** Comes back as `userMessage.clientId`; codex does not deduplicate by it. */
  clientUserMessageId?: string | null;
  model?: string | null;
  effort?: string | null;
  /** JSON Schema of the last message; goes to the model as a strict `json_schema`. */
  outputSchema?: unknown;
}
export interface TurnStartResponse {
  turn: Turn;
}
export interface TurnSteerParams {
  threadId: string;
  expectedTurnId: string;
  input: UserInput[];
  clientUserMessageId?: string | null;
}
export interface TurnSteerResponse {
  turnId: string;
}
export interface TurnInterruptParams {
  threadId: string;
  turnId: string;
}
export type TurnInterruptResponse = object;
