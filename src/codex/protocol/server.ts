import type { RateLimitSnapshot } from '../../contract/codex/notifications.js';

/** Calls about the connection, accounts, models, and commands outside a thread. */
export interface ServerCalls {
  initialize: { params: InitializeParams; result: InitializeResponse };
  'model/list': { params: ModelListParams; result: ModelListResponse };
  'account/read': { params: GetAccountParams; result: GetAccountResponse };
  'account/login/start': { params: LoginAccountParams; result: LoginAccountResponse };
  'account/login/cancel': { params: CancelLoginAccountParams; result: CancelLoginAccountResponse };
  'account/rateLimits/read': { params: GetAccountRateLimitsParams; result: GetAccountRateLimitsResponse };
  'account/usage/read': { params: GetAccountTokenUsageParams; result: GetAccountTokenUsageResponse };
  'command/exec': { params: CommandExecParams; result: CommandExecResponse };
}

export interface InitializeParams {
  clientInfo: ClientInfo;
  capabilities?: InitializeCapabilities | null;
}
export interface ClientInfo {
  name: string;
  title?: string | null;
  version: string;
}
export interface InitializeCapabilities {
  /** Needed for `thread/backgroundTerminals/clean`, permission profiles and `chatgptAuthTokens`. */
  experimentalApi?: boolean;
  optOutNotificationMethods?: string[] | null;
}
export interface InitializeResponse {
  userAgent: string;
  codexHome: string;
}

export interface ModelListParams {
  cursor?: string | null;
  limit?: number | null;
}
export interface ModelListResponse {
  data: Model[];
  nextCursor?: string | null;
}
export interface Model {
  id: string;
  model: string;
  displayName: string;
  hidden: boolean;
  isDefault: boolean;
  supportedReasoningEfforts: ReasoningEffortOption[];
  defaultReasoningEffort: string;
}
export interface ReasoningEffortOption {
  reasoningEffort: string;
}
export interface GetAccountParams {
  /** Waits for a refresh in flight, then rotates the token once more. */
  refreshToken?: boolean;
}
export interface GetAccountResponse {
  account?: Account | null;
  requiresOpenaiAuth: boolean;
}
export type Account =
  { type: 'apiKey' | 'amazonBedrock' | 'gcp' } | { type: 'chatgpt'; email?: string | null };
export type LoginAccountParams =
  | { type: 'apiKey'; apiKey: string }
  | { type: 'chatgptDeviceCode' }
  | {
      type: 'chatgptAuthTokens';
      accessToken: string;
      chatgptAccountId: string;
      chatgptPlanType?: string | null;
    };
export type LoginAccountResponse =
  | { type: 'apiKey' | 'chatgptAuthTokens' }
  | { type: 'chatgptDeviceCode'; loginId: string; userCode: string; verificationUrl: string };
export interface CancelLoginAccountParams {
  loginId: string;
}
export type CancelLoginAccountResponse = object;
export type GetAccountRateLimitsParams = object;
export interface GetAccountRateLimitsResponse {
  /** Of codex itself. */
  rateLimits: RateLimitSnapshot;
  /** Of other models too. */
  rateLimitsByLimitId?: Record<string, RateLimitSnapshot> | null;
  /** Null: not known. */
  ordinaryUsageAllowed?: boolean | null;
}
export type GetAccountTokenUsageParams = object;
export interface GetAccountTokenUsageResponse {
  summary: AccountTokenUsageSummary;
}
export interface AccountTokenUsageSummary {
  lifetimeTokens?: number | null;
}
export interface CommandExecParams {
  command: string[];
  cwd?: string | null;
  timeoutMs?: number | null;
  /** Id of a permission profile of the loaded config. */
  permissionProfile?: string | null;
}
export interface CommandExecResponse {
  exitCode: number;
  stdout: string;
  stderr: string;
}
