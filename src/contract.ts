import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Errand, HookName, HookTarget } from './hooks.js';
import type { ClaimRefused, HostRestarted, SessionReport, TaskStatus, TokenUsage } from './status.js';

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
  /** First user message; without it the task begins with `instructions`, or waits for a message. */
  prompt?: string | undefined;
  /** `task` (default) ends when no turn is running and none is queued; `conversation` on close or idle limit. */
  mode?: TaskMode | undefined;
  model?: string | undefined;
  effort?: string | undefined;
  /** Goes into the AGENTS.md of codex's home, verbatim; the workdir's own comes after it. */
  instructions?: string | undefined;
  sandbox?: SandboxSettings | undefined;
  approvals?: ApprovalSettings | undefined;
  /** Default `{ pool: 'default' }`. */
  credential?: CredentialSource | undefined;
  resume?: { snapshotKey: string } | { snapshotId: string } | undefined;
  snapshot?: SnapshotSettings | undefined;
  captureSeed?: { pool?: string | undefined; metadata?: Record<string, unknown> | undefined } | undefined;
  /** Blobs of the database, written below `work` before codex starts. */
  files?: { path: string; blobId: string }[] | undefined;
  /** Merged into codex's config.toml (model providers, MCP servers, …). */
  codexConfig?: Record<string, unknown> | undefined;
  /** Added to the environment of codex and of commands; no name of codex's own. Never secrets: they would be in the workflow's history. */
  env?: Record<string, string> | undefined;
  /**
   * Names let through from the worker's environment to codex (keys of model providers, …). An MCP server gets those that its
   * `env_vars` in `codexConfig` names.
   */
  passEnv?: string[] | undefined;
  /** The log keywords (STATUS, DELIVERABLE, DONE, …); default false. */
  hostProtocol?: boolean | undefined;
  hooks?: Partial<Record<HookName, HookTarget>> | undefined;
  /** Handed on unchanged in `state`. */
  ui?: Record<string, unknown> | undefined;
  limits?: TaskLimits | undefined;
}

export type TaskMode = 'task' | 'conversation';

export interface SandboxSettings {
  /** Default `workspace-write`. */
  mode?: SandboxMode | undefined;
  /** Whether commands reach the network; default false. */
  network?: boolean | undefined;
  /** Paths beside the workdir that commands read, or write too. */
  grants?: { path: string; access: 'ro' | 'rw' }[] | undefined;
  /** Whether commands may write the `.git` at the top of `work`; default `read-only`. Those of its subfolders they may. */
  git?: 'read-only' | 'writable' | undefined;
}

export type SandboxMode = 'read-only' | 'workspace-write' | 'danger-full-access';

export interface ApprovalSettings {
  /** What codex asks about; default `on-request`. */
  policy?: ApprovalPolicy | undefined;
  /** Milliseconds an open request waits for a decision; default: for ever. */
  timeoutMs?: number | undefined;
  /** Default `deny`. */
  onTimeout?: 'deny' | 'allow' | undefined;
  /** Of each command the first match wins, of the commands the strictest; decided on the host. */
  rules?: PermissionRule[] | undefined;
  /** Rules in codex's own notation, `prefix_rule(pattern=[…], decision="…")`: of all that match the strictest wins. */
  execpolicy?: string | undefined;
}

export type ApprovalPolicy = 'untrusted' | 'on-request' | 'never';

export interface PermissionRule {
  kind?: PermissionKind | undefined;
  /**
   * Leading words of a command; a list in place of a word is any of these. To deny or ask, of whatever a script may run; to
   * allow, of a plain command as it is written (docs/approvals.md).
   */
  commandPrefix?: (string | string[])[] | undefined;
  /** Regular expression, found in the script; to allow, in each command of a plain one. */
  pattern?: string | undefined;
  path?: string | undefined;
  /** Hosts that a command asks for beyond its sandbox, `*` for any. */
  network?: string[] | undefined;
  /** Paths that it asks for. */
  grants?: { path: string; access: 'ro' | 'rw' }[] | undefined;
  server?: string | undefined;
  tool?: string | undefined;
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

/** Where codex's account comes from. `waitMs` bounds the wait for a free seed, which else lasts for ever. */
export type CredentialSource =
  | { pool: string; waitMs?: number | undefined; hostOwnedTokens?: boolean | undefined }
  | { seedId: string; waitMs?: number | undefined; hostOwnedTokens?: boolean | undefined }
  | { apiKeyEnv: string }
  | { none: true };

export interface SnapshotSettings {
  /** Default: the task's id. */
  key?: string | undefined;
  /** How many ends of that key are kept; default 5. */
  keep?: number | undefined;
  /** At the task's end (default `end`), after each turn too, or never. */
  checkpoint?: 'end' | 'turn' | 'off' | undefined;
  /** In place of the usual patterns of what is left out (docs/snapshots.md). */
  exclude?: string[] | undefined;
}

/** Times in milliseconds, sizes in bytes. */
export interface TaskLimits {
  /** Of one turn, without the time in which a request is open; default 3,600,000. */
  turnMs?: number | undefined;
  /** For which it waits for a message; default 3,600,000. */
  idleMs?: number | undefined;
  /** Of the whole task; default: none. */
  totalMs?: number | undefined;
  /** Of one file; default 10,000,000. */
  uploadBytes?: number | undefined;
  /** Of one file; default 10,000,000. */
  downloadBytes?: number | undefined;
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
  /** Codex's own parameters, with `changes` joined in for a file change; cut when over 48 KiB. */
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
  scope?: 'once' | 'session' | undefined;
  /** Answers (user input), content (elicitation) or permissions; ignored for command and file change. */
  updatedInput?: Record<string, unknown> | undefined;
  /** Told to the model. */
  message?: string | undefined;
  /** Who decided: `http`, `signal`, `update`, `hook`, `timeout`, `rule`, a person's name, … */
  decidedBy?: string | undefined;
}

/** A request that ended without a decision of the workflow (codex resolved it, its turn was interrupted, …). */
export interface PermissionSettled {
  requestId: string;
  reason: string;
}

export interface TaskMessage {
  /**
   * A message is accepted once by this id; the newest 1,000 are remembered. Not `prompt`, `kickoff` or `resumed`, and not
   * with `x-optio-`, `answer-` or `refused-` before it: these are the host's own.
   */
  messageId: string;
  text: string;
  /** Joins the running turn instead of waiting for its end. */
  steer?: boolean | undefined;
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
export const hostRestartedSignal = defineSignal<[HostRestarted]>('hostRestarted');
/** From a worker: a seed is free for this waiting task. */
export const credentialFreeSignal = defineSignal('credentialFree');
/** The host has let the task go and saved it: it is to go on elsewhere. */
export const hostLeftSignal = defineSignal<[{ hostId: string }]>('hostLeft');
/** A host speaks another version of the steps than the task. */
export const claimRefusedSignal = defineSignal<[ClaimRefused]>('claimRefused');
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
