import type { CodexNotifications } from './codex/notifications.js';
import type { CodexRequests } from './codex/requests.js';
import type { Control } from './status.js';
import type { Behavior } from './permissions.js';

/**
 * What a task's event stream holds, as far as this version knows it. Codex's own notifications and requests come
 * unmodified, but for the `id` of a request; what is ours has a `type` that begins with `x-optio-`.
 */
export type TaskEvent = CodexNotification | CodexRequest | OwnEvent;

/** A notification of codex: no top-level `id`, no `type`. */
export type CodexNotification = {
  [M in CodexNotificationMethod]: EventMarks & {
    method: M;
    params: CodexNotifications[M];
    emittedAtMs?: number;
  };
}[CodexNotificationMethod];

/** A question of codex: answer it by its `id`, which is unique within the task's life. `x-optio-at` is when it came. */
export type CodexRequest = {
  [M in CodexRequestMethod]: { method: M; id: string; params: CodexRequests[M]; 'x-optio-at'?: number };
}[CodexRequestMethod];

export type CodexNotificationMethod = keyof CodexNotifications;
export type CodexRequestMethod = keyof CodexRequests;

/** An event with its name: the `type` of ours, the `method` of codex's. A `switch` over the names narrows the events. */
export type NamedEvent =
  | { [E in TaskEvent as NameOf<E>]: { readonly name: NameOf<E>; readonly event: Readonly<E> } }[EventName]
  | UnknownEvent;

/** An event that this version does not know, or that lacks what its kind has: as it came. */
export interface UnknownEvent {
  readonly name: 'unknown';
  readonly event: Readonly<Record<string, unknown>>;
}

/** An event as a reader of the stream gets it. `id` grows with each event of a task. */
export type NumberedEvent = NamedEvent & { readonly id: number };

export type EventName = NameOf<TaskEvent>;
type NameOf<E extends TaskEvent> = E extends OwnEvent ? E['type'] : E extends { method: infer M } ? M : never;

/** What is said of a notification beside its own fields. */
export interface EventMarks {
  /** An earlier turn of a resumed thread. */
  'x-optio-history'?: true;
  /** It happened while no worker was connected. */
  'x-optio-caught-up'?: true;
  /** Codex never ended this item or turn: its stream broke off, or codex did. */
  'x-optio-cut'?: true;
  /** When the host made it, in milliseconds since 1970: one that codex did not send, and so has no `emittedAtMs`. */
  'x-optio-at'?: number;
}

/** An event of ours. `at` is when the host made it, in milliseconds since 1970; those of earlier versions have none. */
export type OwnEvent = OwnFields & { at?: number };

type OwnFields =
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
  /**
   * A turn's last message does not fit the schema that it was given. `attempt` counts from 1; without `willRetry` it is not
   * corrected any more.
   */
  | {
      type: 'x-optio-output-refused';
      turnId: string;
      attempt: number;
      faults: string[];
      willRetry: boolean;
    }
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
