import type { HookName, HookTarget } from './hook-target.js';
import type { OutputSchema } from './output-schema.js';

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
  /** What the last message of each turn is to be, as `result.output`; a message may bring its own. */
  outputSchema?: OutputSchema | undefined;
}

export type TaskMode = 'task' | 'conversation';

export interface SandboxSettings {
  /** Default `workspace-write`. */
  mode?: SandboxMode | undefined;
  /** Whether commands reach the network; default false. */
  network?: boolean | undefined;
  /** Paths besides the workdir that commands read, or write too. */
  grants?: { path: string; access: 'ro' | 'rw' }[] | undefined;
  /** Whether commands may write the `.git` at the top of `work`; default `read-only`. Those of its subfolders they may. */
  git?: 'read-only' | 'writable' | undefined;
}

export type SandboxMode = 'read-only' | 'workspace-write' | 'danger-full-access';

export interface ApprovalSettings {
  /** When codex asks; default `on-request`. */
  policy?: ApprovalPolicy | undefined;
  /** Milliseconds that an open request waits for a decision; default: forever. */
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

/** Where codex's account comes from. `waitMs` bounds the wait for a free seed, which else lasts forever. */
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
  /** How long it waits for a message; default 3,600,000. */
  idleMs?: number | undefined;
  /** Of the whole task; default: none. */
  totalMs?: number | undefined;
  /** Of one file; default 10,000,000. */
  uploadBytes?: number | undefined;
  /** Of one file; default 10,000,000. */
  downloadBytes?: number | undefined;
  /** How often an answer that does not fit `outputSchema` is corrected by a turn of its own; default 1. */
  outputRetries?: number | undefined;
}
