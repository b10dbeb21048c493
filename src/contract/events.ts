import type { Control } from './status.js';
import type { Behavior } from './permissions.js';

/**
 * Everything that a task's event stream can hold. Codex's own notifications and requests come unmodified, but
 * for the `id` of a request; what is ours has a `type` that begins with `x-optio-`.
 */
export type TaskEvent = CodexNotification | CodexRequest | OwnEvent;

/** A notification of codex: no top-level `id`, no `type`. */
export interface CodexNotification extends EventMarks {
  method: CodexNotificationMethod;
  params: Record<string, unknown>;
  emittedAtMs?: number;
}

/** A question of codex: answer it by its `id`, which is unique within the task's life. */
export interface CodexRequest {
  method: CodexRequestMethod;
  id: string;
  params: Record<string, unknown>;
}

/** What is said of a notification beside its own fields. */
export interface EventMarks {
  /** An earlier turn of a resumed thread. */
  'x-optio-history'?: true;
  /** It happened while no worker was connected. */
  'x-optio-caught-up'?: true;
  /** Codex never ended this item or turn: its stream broke off, or codex did. */
  'x-optio-cut'?: true;
}

/** Those that a client is likely to look at; codex may send others. */
export type CodexNotificationMethod =
  | 'thread/started'
  | 'thread/status/changed'
  | 'thread/tokenUsage/updated'
  | 'thread/settings/updated'
  | 'turn/started'
  | 'turn/completed'
  | 'turn/diff/updated'
  | 'turn/plan/updated'
  | 'item/started'
  | 'item/completed'
  | 'item/agentMessage/delta'
  | 'item/reasoning/summaryTextDelta'
  | 'item/reasoning/textDelta'
  | 'item/plan/delta'
  | 'item/fileChange/patchUpdated'
  | 'item/mcpToolCall/progress'
  | 'serverRequest/resolved'
  | 'account/rateLimits/updated'
  | 'model/rerouted'
  | 'configWarning'
  | 'warning'
  | 'error'
  | (string & {});

export type CodexRequestMethod =
  | 'item/commandExecution/requestApproval'
  | 'item/fileChange/requestApproval'
  | 'item/permissions/requestApproval'
  | 'item/tool/requestUserInput'
  | 'mcpServer/elicitation/request'
  | (string & {});

export type OwnEvent =
  /** A request ended, whatever way: the one event that removes it. `decidedBy`: http, signal, update, hook, timeout, rule, … */
  | { type: 'x-optio-permission-answered'; request_id: string; behavior: Behavior; decidedBy: string }
  /** Model or effort changed; all controls as they are now. */
  | { type: 'x-optio-control-update'; controls: Control[] }
  /** The next turn runs on a model of another family: codex compacts the thread first. */
  | {
      type: 'x-optio-model-family';
      from: string | null;
      to: string | null;
      fromFamily: string;
      toFamily: string;
      compacts: true;
    }
  /** Codex's process ended, as `reason` says, or its connection did. It goes on with the same thread. */
  | { type: 'x-optio-recovering'; reason: string }
  /** `threadId` where it is a sub-agent's. */
  | { type: 'x-optio-turn-timed-out'; turnId: string | null; threadId?: string; afterMs: number }
  /** Codex did not begin the turn of this message. */
  | { type: 'x-optio-turn-rejected'; messageId: string; reason: string }
  /** A message that cannot be sent, such as one whose image is not below the workdir. */
  | { type: 'x-optio-message-rejected'; messageId: string; reason: string }
  /** What came of a turn after its end. */
  | { type: 'x-optio-late'; event: CodexNotification }
  /** Ids that are not in the stream: removed by retention, or lost with a host. */
  | { type: 'x-optio-gap'; from: number; to: number }
  /** What the agent wrote into `optio.log`, with `hostProtocol`; `line` counts its lines. */
  | { type: 'x-optio-status'; line: number; percent: number | null; text: string }
  | { type: 'x-optio-log'; line: number; text: string; truncated?: true }
  | {
      type: 'x-optio-deliverable';
      line: number;
      path: string;
      bytes: number;
      sha256: string;
      contentType: string;
      blobId: string;
    }
  | { type: 'x-optio-deliverable-refused'; line: number; path: string; reason: string }
  /** The agent wants the user's browser to open this address. */
  | { type: 'x-optio-browser'; line: number; url: string }
  /** The agent asks for a person. */
  | { type: 'x-optio-attention'; line: number; reason: string }
  | { type: 'x-optio-client-message'; line: number; keyword: string; message: unknown }
  | { type: 'x-optio-caller-message'; line: number; keyword: string; message: unknown }
  /** The agent ended the task. */
  | { type: 'x-optio-done'; line: number; text: string | null }
  | { type: 'x-optio-error'; line: number; text: string | null }
  /** Lines that came faster than they are told. */
  | { type: 'x-optio-log-dropped'; line: number; lines: number }
  /** Something about this task that its owner should know. */
  | { type: 'x-optio-warning'; message: string }
  | { type: 'x-optio-unsupported'; method: string }
  | { type: 'x-optio-unparseable'; line: string; truncated?: true; characters?: number }
  /** Something that may cost the task's account; `quarantineId` where its credential was kept aside. */
  | { type: 'x-optio-credential'; kind: string; message: string; quarantineId?: string }
  /** The account is out of quota until then (ISO 8601): the turn that ended by it is done again later. */
  | { type: 'x-optio-parked'; until: string }
  /** There is quota again, perhaps another account's. */
  | { type: 'x-optio-unparked' }
  /** The last event. `dropped`: ids of messages that codex never had. */
  | { type: 'x-optio-closed'; reason: string; outcome: string; dropped?: string[] };
