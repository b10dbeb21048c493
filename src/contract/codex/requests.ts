/** Requests of codex and what they are answered with. */

export type RequestId = string | number;
/** Questions of codex that clients see: what they are asked with, by method. */
export interface CodexRequests {
  'item/commandExecution/requestApproval': CommandExecutionRequestApprovalParams;
  'item/fileChange/requestApproval': FileChangeRequestApprovalParams;
  'item/permissions/requestApproval': PermissionsRequestApprovalParams;
  'item/tool/requestUserInput': ToolRequestUserInputParams;
  'mcpServer/elicitation/request': McpServerElicitationRequestParams;
}
/** Requests of codex that are answered; any other gets an error. */
export interface ServerRequests {
  'item/commandExecution/requestApproval': {
    params: CommandExecutionRequestApprovalParams;
    result: CommandExecutionRequestApprovalResponse;
  };
  'item/fileChange/requestApproval': {
    params: FileChangeRequestApprovalParams;
    result: FileChangeRequestApprovalResponse;
  };
  'item/permissions/requestApproval': {
    params: PermissionsRequestApprovalParams;
    result: PermissionsRequestApprovalResponse;
  };
  'item/tool/requestUserInput': { params: ToolRequestUserInputParams; result: ToolRequestUserInputResponse };
  'mcpServer/elicitation/request': {
    params: McpServerElicitationRequestParams;
    result: McpServerElicitationRequestResponse;
  };
  'account/chatgptAuthTokens/refresh': {
    params: ChatgptAuthTokensRefreshParams;
    result: ChatgptAuthTokensRefreshResponse;
  };
}

export interface CommandExecutionRequestApprovalParams {
  threadId: string;
  turnId: string;
  itemId: string;
  command?: string | null;
  cwd?: string | null;
  reason?: string | null;
  /** `writeStdin`: text for the terminal of an earlier item. */
  kind?: 'command' | 'writeStdin' | 'humanCommand';
  additionalPermissions?: object | null;
  networkApprovalContext?: { host: string; protocol: string } | null;
}
/** `decline`: the turn continues. `cancel`: it is interrupted. */
export type FileChangeApprovalDecision = 'accept' | 'acceptForSession' | 'decline' | 'cancel';
export type CommandExecutionApprovalDecision = 'accept' | 'acceptForSession' | 'decline' | 'cancel';
export interface CommandExecutionRequestApprovalResponse {
  decision: CommandExecutionApprovalDecision;
}
/** Holds neither path nor diff: they are in the item of this id, started before. */
export interface FileChangeRequestApprovalParams {
  threadId: string;
  turnId: string;
  itemId: string;
  reason?: string | null;
  grantRoot?: string | null;
}
export interface FileChangeRequestApprovalResponse {
  decision: FileChangeApprovalDecision;
}
export interface PermissionsRequestApprovalParams {
  threadId: string;
  turnId: string;
  itemId: string;
  cwd: string;
  reason?: string | null;
  permissions: object;
}
export interface PermissionsRequestApprovalResponse {
  /** A part of what was asked for; `{}` grants nothing. */
  permissions: object;
  scope?: PermissionGrantScope;
}
export type PermissionGrantScope = 'turn' | 'session';
export interface ToolRequestUserInputParams {
  threadId: string;
  turnId: string;
  itemId: string;
  questions: ToolRequestUserInputQuestion[];
}
export interface ToolRequestUserInputQuestion {
  id: string;
  header: string;
  question: string;
  options?: ToolRequestUserInputOption[] | null;
}
export interface ToolRequestUserInputOption {
  label: string;
  description: string;
}
export interface ToolRequestUserInputResponse {
  /** By question id. */
  answers: Record<string, ToolRequestUserInputAnswer>;
}
export interface ToolRequestUserInputAnswer {
  answers: string[];
}
/** Also the approval of every MCP tool call: `_meta.codex_approval_kind` is then `mcp_tool_call`. */
export type McpServerElicitationRequestParams = Elicitation &
  (
    | { mode: 'form' | 'openai/form' | 'openaiForm' | 'url'; message: string }
    | { mode: 'openai/userVerification'; title: string }
  );
interface Elicitation {
  threadId: string;
  turnId?: string | null;
  serverName: string;
  _meta?: unknown;
}
export interface McpServerElicitationRequestResponse {
  action: McpServerElicitationAction;
  content?: unknown;
  _meta?: unknown;
}
export type McpServerElicitationAction = 'accept' | 'decline' | 'cancel';
export interface ChatgptAuthTokensRefreshParams {
  reason: 'unauthorized';
  previousAccountId?: string | null;
}
/** Must come within 10 s, or codex asks again. */
export interface ChatgptAuthTokensRefreshResponse {
  accessToken: string;
  chatgptAccountId: string;
  chatgptPlanType?: string | null;
}
