import type { PermissionKind, PermissionRule } from './input.js';

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
  /** `session` also allows similar requests for the rest of the session. */
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

/** A request that a rule decided on the host; told in batches, for the record. */
export interface PermissionRecord {
  requestId: string;
  kind: PermissionKind;
  summary: string;
  behavior: Behavior;
  decidedBy: string;
}

/** A rule that was given while the task runs; those of the input come before it. */
export interface TaskRule {
  /** Chosen by whoever gives it: the same again changes nothing. */
  ruleId: string;
  rule: PermissionRule;
}

/** Rules for a running task to take, after the ones it has, and to forget. */
export interface RulesChange {
  add?: TaskRule[];
  /** Ids; one that is not known is left alone. */
  remove?: string[];
}
