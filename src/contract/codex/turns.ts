/** Turns and the items in them. */

export type UserInput =
  { type: 'text'; text: string } | { type: 'localImage'; path: string } | { type: 'image'; url: string };
/** Input as codex shows it again; an image may then be a file it keeps itself. */
export type UserMessagePart = Exclude<UserInput, { type: 'image' }> | { type: 'image'; url?: string };
export interface Turn {
  id: string;
  items: ThreadItem[];
  status: TurnStatus;
  error?: TurnError | null;
  /** Epoch seconds. */
  startedAt?: number | null;
  /** Epoch seconds. */
  completedAt?: number | null;
  durationMs?: number | null;
}
export type TurnStatus = 'completed' | 'interrupted' | 'failed' | 'inProgress';
export interface TurnError {
  message: string;
  codexErrorInfo?: CodexErrorInfo | null;
  additionalDetails?: string | null;
}
export type CodexErrorInfo =
  | 'contextWindowExceeded'
  | 'sessionBudgetExceeded'
  | 'usageLimitExceeded'
  | 'rateLimitExceeded'
  | 'serverOverloaded'
  | 'modelNotFound'
  | 'internalServerError'
  | 'unauthorized'
  | 'badRequest'
  | 'sandboxError'
  | 'other'
  | { httpConnectionFailed: HttpStatus }
  | { responseStreamConnectionFailed: HttpStatus }
  | { responseStreamDisconnected: HttpStatus }
  | { responseTooManyFailedAttempts: HttpStatus };
interface HttpStatus {
  httpStatusCode?: number | null;
}

export type ThreadItem =
  | { type: 'userMessage'; id: string; clientId?: string | null; content: UserMessagePart[] }
  | { type: 'agentMessage'; id: string; text: string; phase?: MessagePhase | null }
  | { type: 'reasoning'; id: string; summary?: string[]; content?: string[] }
  | {
      type: 'commandExecution';
      id: string;
      command: string;
      cwd: string;
      status: CommandExecutionStatus;
      processId?: string | null;
      aggregatedOutput?: string | null;
      exitCode?: number | null;
      durationMs?: number | null;
    }
  | { type: 'fileChange'; id: string; changes: FileUpdateChange[]; status: PatchApplyStatus }
  | {
      type: 'mcpToolCall';
      id: string;
      server: string;
      tool: string;
      status: McpToolCallStatus;
      arguments?: unknown;
      error?: { message: string } | null;
    }
  | { type: 'plan'; id: string; text: string }
  | { type: 'webSearch'; id: string; query: string }
  | {
      type: 'subAgentActivity';
      id: string;
      agentThreadId: string;
      kind: 'started' | 'interacted' | 'interrupted' | 'completed';
    }
  | {
      type: 'collabAgentToolCall';
      id: string;
      tool: CollabAgentTool;
      status: 'inProgress' | 'completed' | 'failed' | 'interrupted';
      receiverThreadIds: string[];
    }
  | { type: OtherItemType; id: string };
type OtherItemType =
  | 'hookPrompt'
  | 'functionCallOutput'
  | 'dynamicToolCall'
  | 'imageView'
  | 'sleep'
  | 'imageGeneration'
  | 'enteredReviewMode'
  | 'exitedReviewMode'
  | 'contextCompaction';
export type CollabAgentTool =
  | 'spawnAgent'
  | 'sendInput'
  | 'resumeAgent'
  | 'wait'
  | 'closeAgent'
  | 'sendMessage'
  | 'followupTask'
  | 'interruptAgent'
  | 'listAgents';
export type MessagePhase = 'commentary' | 'partial_answer' | 'final_answer';
export type CommandExecutionStatus = 'inProgress' | 'completed' | 'failed' | 'declined';
export type PatchApplyStatus = 'inProgress' | 'completed' | 'failed' | 'declined';
export type McpToolCallStatus = 'inProgress' | 'completed' | 'failed';
export interface FileUpdateChange {
  path: string;
  kind: PatchChangeKind;
  /** Whole content for `add` and `delete`, unified diff for `update`. */
  diff: string;
}
export type PatchChangeKind = { type: 'add' | 'delete' } | { type: 'update'; move_path?: string | null };
