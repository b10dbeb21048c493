import type { RequestId } from './requests.js';
import type { FileUpdateChange, ThreadItem, Turn, TurnError } from './turns.js';

/** Notifications that clients see as a type of their own; codex sends others too, and newer ones may have more. */
export interface CodexNotifications extends Omit<ServerNotifications, 'account/login/completed'> {
  'thread/started': ThreadStartedNotification;
  'turn/diff/updated': TurnDiffUpdatedNotification;
  'turn/plan/updated': TurnPlanUpdatedNotification;
  'item/reasoning/summaryTextDelta': ReasoningSummaryTextDeltaNotification;
  'item/reasoning/textDelta': ReasoningTextDeltaNotification;
  'item/plan/delta': PlanDeltaNotification;
  'item/fileChange/patchUpdated': FileChangePatchUpdatedNotification;
  'item/mcpToolCall/progress': McpToolCallProgressNotification;
}

/** Notifications that are read; all others are only handed on. */
export interface ServerNotifications {
  error: ErrorNotification;
  'thread/status/changed': ThreadStatusChangedNotification;
  'thread/settings/updated': ThreadSettingsUpdatedNotification;
  'thread/tokenUsage/updated': ThreadTokenUsageUpdatedNotification;
  'turn/started': TurnStartedNotification;
  'turn/completed': TurnCompletedNotification;
  'item/started': ItemStartedNotification;
  'item/completed': ItemCompletedNotification;
  'item/agentMessage/delta': AgentMessageDeltaNotification;
  'serverRequest/resolved': ServerRequestResolvedNotification;
  'account/rateLimits/updated': AccountRateLimitsUpdatedNotification;
  'account/login/completed': AccountLoginCompletedNotification;
  'model/rerouted': ModelReroutedNotification;
  warning: WarningNotification;
  configWarning: ConfigWarningNotification;
}

export interface ThreadStartedNotification {
  thread: { id: string };
}
/** The unified diff of all changes of the turn so far. */
export interface TurnDiffUpdatedNotification {
  threadId: string;
  turnId: string;
  diff: string;
}
export interface TurnPlanUpdatedNotification {
  threadId: string;
  turnId: string;
  explanation?: string | null;
  plan: TurnPlanStep[];
}
export interface TurnPlanStep {
  step: string;
  status: 'pending' | 'inProgress' | 'completed';
}
/** A piece of one part of a reasoning item's `summary`. */
export interface ReasoningSummaryTextDeltaNotification extends AgentMessageDeltaNotification {
  summaryIndex: number;
}
/** A piece of one part of its `content`. */
export interface ReasoningTextDeltaNotification extends AgentMessageDeltaNotification {
  contentIndex: number;
}
export type PlanDeltaNotification = AgentMessageDeltaNotification;
export interface FileChangePatchUpdatedNotification {
  threadId: string;
  turnId: string;
  itemId: string;
  changes: FileUpdateChange[];
}
export interface McpToolCallProgressNotification {
  threadId: string;
  turnId: string;
  itemId: string;
  message: string;
}
export interface ErrorNotification {
  error: TurnError;
  willRetry: boolean;
  threadId: string;
  turnId: string;
}
export interface ThreadStatusChangedNotification {
  threadId: string;
  status: ThreadStatus;
}
export interface ThreadSettingsUpdatedNotification {
  threadId: string;
  threadSettings: ThreadSettings;
}
export interface ThreadSettings {
  model: string;
  effort?: string | null;
}
export interface ThreadTokenUsageUpdatedNotification {
  threadId: string;
  turnId: string;
  tokenUsage: ThreadTokenUsage;
}
export interface TurnStartedNotification {
  threadId: string;
  turn: Turn;
}
/** `turn.items` holds only the last message. */
export type TurnCompletedNotification = TurnStartedNotification;
export interface ItemStartedNotification {
  threadId: string;
  turnId: string;
  item: ThreadItem;
}
export type ItemCompletedNotification = ItemStartedNotification;
export interface AgentMessageDeltaNotification {
  threadId: string;
  turnId: string;
  itemId: string;
  delta: string;
}
/** Ends every request of codex: answered here or elsewhere, or cleared by an interrupt. */
export interface ServerRequestResolvedNotification {
  threadId: string;
  requestId: RequestId;
}
export interface AccountRateLimitsUpdatedNotification {
  rateLimits: RateLimitSnapshot;
}
export interface AccountLoginCompletedNotification {
  success: boolean;
  error?: string | null;
}
export interface ModelReroutedNotification {
  threadId: string;
  turnId: string;
  fromModel: string;
  toModel: string;
}
export interface WarningNotification {
  threadId?: string | null;
  message: string;
}
export interface ConfigWarningNotification {
  summary: string;
  details?: string | null;
}

export type ThreadStatus =
  { type: 'notLoaded' | 'idle' | 'systemError' } | { type: 'active'; activeFlags: ThreadActiveFlag[] };
export type ThreadActiveFlag = 'waitingOnApproval' | 'waitingOnUserInput';
export interface RateLimitSnapshot {
  limitId?: string | null;
  primary?: RateLimitWindow | null;
  secondary?: RateLimitWindow | null;
  credits?: CreditsSnapshot | null;
  individualLimit?: SpendControlLimitSnapshot | null;
  spendControlReached?: boolean | null;
  rateLimitReachedType?: RateLimitReachedType | null;
}
export type RateLimitReachedType =
  | 'rate_limit_reached'
  | 'workspace_owner_credits_depleted'
  | 'workspace_member_credits_depleted'
  | 'workspace_owner_usage_limit_reached'
  | 'workspace_member_usage_limit_reached';
export interface CreditsSnapshot {
  hasCredits: boolean;
  unlimited: boolean;
  balance?: string | null;
}
export interface SpendControlLimitSnapshot {
  remainingPercent: number;
  /** Epoch seconds. */
  resetsAt: number;
}
export interface RateLimitWindow {
  usedPercent: number;
  windowDurationMins?: number | null;
  /** Epoch seconds. */
  resetsAt?: number | null;
}
export interface ThreadTokenUsage {
  total: TokenUsageBreakdown;
}
export interface TokenUsageBreakdown {
  totalTokens: number;
  inputTokens: number;
  cachedInputTokens: number;
  outputTokens: number;
  reasoningOutputTokens: number;
}
