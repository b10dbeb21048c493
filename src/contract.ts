import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Errand, HookName, HookTarget } from './hooks.js';
import type { SessionReport, TaskStatus, TokenUsage } from './status.js';

/**
 * Workflow type of a task. Its workflow id is the task id, chosen by the caller: text of 1 to 1,000 bytes without
 * control characters, but not `operator`.
 */
export const CODEX_TASK = 'codexTask';

/** Task queue on which workflows and host-independent activities run. */
export const DEFAULT_TASK_QUEUE = 'codex-tasks';

/** Queue on which hosts with free capacity take new tasks. */
export const claimQueueOf = (taskQueue: string): string =>
  taskQueue === DEFAULT_TASK_QUEUE ? 'codex-claims' : `${taskQueue}-claims`;

/** Queue that only the worker with this data folder polls. */
export const hostQueueOf = (hostId: string): string => `codex-host.${hostId}`;

export interface CodexTaskInput {
  /** First user message; without it the task waits for one. */
  prompt?: string;
  /** `task` (default) ends when no turn is running and none is queued; `conversation` on close or idle limit. */
  mode?: TaskMode;
  model?: string;
  effort?: string;
  /** Goes into the AGENTS.md of codex's home, verbatim; the workdir's own comes after it. */
  instructions?: string;
  sandbox?: SandboxSettings;
  approvals?: ApprovalSettings;
  /** Default `{ pool: 'default' }`. */
  credential?: CredentialSource;
  resume?: { snapshotKey: string } | { snapshotId: string };
  snapshot?: SnapshotSettings;
  captureSeed?: { pool?: string; metadata?: Record<string, unknown> };
  /** Blobs of the database, written below `work` before codex starts. */
  files?: { path: string; blobId: string }[];
  /** Merged into codex's config.toml (model providers, MCP servers, …). */
  codexConfig?: Record<string, unknown>;
  /** Added to codex's environment. Never secrets: they would be in the workflow's history. */
  env?: Record<string, string>;
  /**
   * Names let through from the worker's environment to codex (keys of model providers, …). An MCP server gets those that its
   * `env_vars` in `codexConfig` names.
   */
  passEnv?: string[];
  /** The log keywords (STATUS, DELIVERABLE, DONE, …); default false. */
  hostProtocol?: boolean;
  hooks?: Partial<Record<HookName, HookTarget>>;
  /** Handed on unchanged in `state`. */
  ui?: Record<string, unknown>;
  limits?: TaskLimits;
}

export type TaskMode = 'task' | 'conversation';

export interface SandboxSettings {
  mode?: SandboxMode;
  network?: boolean;
  grants?: { path: string; access: 'ro' | 'rw' }[];
}

export type SandboxMode = 'read-only' | 'workspace-write' | 'danger-full-access';

export interface ApprovalSettings {
  policy?: ApprovalPolicy;
  /** Milliseconds an open request waits for a decision; default: for ever. */
  timeoutMs?: number;
  onTimeout?: 'deny' | 'allow';
  /** Of each command the first match wins, of the commands the strictest; decided on the host. */
  rules?: PermissionRule[];
  /** Rules in codex's own notation, `prefix_rule(pattern=[…], decision="…")`: of all that match the strictest wins. */
  execpolicy?: string;
}

export type ApprovalPolicy = 'untrusted' | 'on-request' | 'never';

export interface PermissionRule {
  kind?: PermissionKind;
  /** Leading words of the command; a list in place of a word is any of these. */
  commandPrefix?: (string | string[])[];
  /** Regular expression on the command. */
  pattern?: string;
  path?: string;
  /** Hosts that a command asks for beyond its sandbox, `*` for any. */
  network?: string[];
  /** Paths that it asks for. */
  grants?: { path: string; access: 'ro' | 'rw' }[];
  server?: string;
  tool?: string;
  then: 'allow' | 'deny' | 'ask';
}

/** A rule of codex's execpolicy: leading words of a command. */
export interface PolicyRule {
  pattern: (string | string[])[];
  then: PermissionRule['then'];
}

/** `stdin`: text for a terminal that runs. `tool`: a call of one of the task's own tools. */
export type PermissionKind =
  'command' | 'stdin' | 'fileChange' | 'permissions' | 'userInput' | 'elicitation' | 'tool';

/** Where codex's account comes from. `waitMs` bounds the wait for a free seed. */
export type CredentialSource =
  | { pool: string; waitMs?: number; hostOwnedTokens?: boolean }
  | { seedId: string; waitMs?: number; hostOwnedTokens?: boolean }
  | { apiKeyEnv: string }
  | { none: true };

export interface SnapshotSettings {
  key?: string;
  keep?: number;
  checkpoint?: 'end' | 'turn' | 'off';
  exclude?: string[];
}

/** Times in milliseconds, sizes in bytes. */
export interface TaskLimits {
  turnMs?: number;
  idleMs?: number;
  totalMs?: number;
  uploadBytes?: number;
  downloadBytes?: number;
}

export interface CodexTaskResult {
  taskId: string;
  threadId: string | null;
  outcome: Outcome;
  finalMessage: string | null;
  finalMessageTruncated?: true;
  /** Completed turns. */
  turns: number;
  usage: TokenUsage;
  snapshotId?: string;
  capturedSeedId?: string;
  deliverables: Deliverable[];
  /** Files that were delivered beyond what the list may hold (96 KiB); the hook had them too. */
  deliverablesOmitted?: number;
}

export type Outcome = 'completed' | 'interrupted' | 'closed';

export interface Deliverable {
  path: string;
  bytes: number;
  sha256: string;
  contentType: string;
}

/** A request of codex that waits for a decision, as it stands in workflow state. */
export interface PermissionRequest {
  /** Unique within the task's life. */
  requestId: string;
  kind: PermissionKind;
  /** One line for people. */
  summary: string;
  /** Codex's own parameters, with `changes` joined in for a file change; cut when over 64 KiB. */
  input: Record<string, unknown>;
  truncated?: true;
  /** ISO 8601. */
  openedAt: string;
  expiresAt?: string;
}

export type Behavior = 'allow' | 'deny';

export interface PermissionDecision {
  requestId: string;
  behavior: Behavior;
  /** `session` also allows what is alike for the rest of the session. */
  scope?: 'once' | 'session';
  /** Answers (user input), content (elicitation) or permissions; ignored for command and file change. */
  updatedInput?: Record<string, unknown>;
  /** Told to the model. */
  message?: string;
  /** Who decided: `http`, `signal`, `update`, `timeout`, `rule`, a person's name, … */
  decidedBy?: string;
}

/** A request that ended without a decision of the workflow (codex resolved it, its turn was interrupted, …). */
export interface PermissionSettled {
  requestId: string;
  reason: string;
}

export interface TaskMessage {
  /** A message is accepted once by this id; the newest 1,000 are remembered. */
  messageId: string;
  text: string;
  /** Joins the running turn instead of waiting for its end. */
  steer?: boolean;
  /** Paths below `work`. */
  images?: { path: string }[];
}

/** Sets `model` or `reasoning_effort` for the next and every later turn. */
export interface ControlChange {
  id: string;
  value: unknown;
}

/** A request that a rule decided on the host; told in batches, for the record. */
export interface PermissionRecord {
  requestId: string;
  kind: PermissionKind;
  summary: string;
  behavior: Behavior;
  decidedBy: string;
}

export type * from './events.js';
export type * from './hooks.js';
export * from './status.js';

export const sendMessageSignal = defineSignal<[TaskMessage]>('sendMessage');
export const interruptSignal = defineSignal('interrupt');
export const closeSignal = defineSignal('close');
export const setControlSignal = defineSignal<[ControlChange]>('setControl');
export const permissionRequestedSignal = defineSignal<[PermissionRequest]>('permissionRequested');
export const permissionSettledSignal = defineSignal<[PermissionSettled]>('permissionSettled');
export const permissionsRecordedSignal = defineSignal<[PermissionRecord[]]>('permissionsRecorded');
export const permissionDecisionSignal = defineSignal<[PermissionDecision]>('permissionDecision');
export const hostRestartedSignal = defineSignal<[{ hostId: string }]>('hostRestarted');
/** From a worker: a seed is free for this waiting task. */
export const credentialFreeSignal = defineSignal('credentialFree');
/** The host has let the task go and saved it: it is to go on elsewhere. */
export const hostLeftSignal = defineSignal<[{ hostId: string }]>('hostLeft');
export const sessionChangedSignal = defineSignal<[SessionReport]>('sessionChanged');
export const errandSignal = defineSignal<[Errand]>('errand');
export const decidePermissionUpdate = defineUpdate<
  { requestId: string; behavior: Behavior },
  [PermissionDecision]
>('decidePermission');
/** Does what `sendMessage` does, and is refused once the task is closing. */
export const sendUpdate = defineUpdate<{ messageId: string }, [TaskMessage]>('send');
export const stateQuery = defineQuery<TaskStatus>('state');
export const pendingPermissionsQuery = defineQuery<PermissionRequest[]>('pendingPermissions');
