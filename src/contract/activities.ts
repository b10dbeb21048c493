import type { Control, HookRequestAnswer, SessionReport } from './index.js';
import type { ErrorCode } from '../errors.js';
import type { CredentialSource } from './input.js';
import type { BadOutputDetails } from './output-schema.js';
import type { Outcome } from './result.js';
import type { PermissionDecision, TaskRule } from './permissions.js';
import type { ControlChange, TaskMessage } from './messages.js';
import type { TaskSpec } from './task-spec.js';

/** What workflow and activities hand each other: plain JSON, never a credential. */

/** A task in its present assignment on a host. Everything on a host belongs to one of these. */
export interface TaskRef {
  taskId: string;
  /** First run of the workflow: the same over continue-as-new and a reset, another one when the id is used again. */
  runId: string;
  /** A new one each time the workflow looks for a credential and a host, and after a reset. */
  assignmentId: string;
}

/** The right to use one seed; a newer lease of the same seed ends it. */
export interface LeaseRef {
  seedId: string;
  holder: string;
  leaseEpoch: number;
}

export interface ReleaseArguments extends LeaseRef {
  /** ISO 8601: its account is out of quota until then. */
  limitedUntil?: string;
  /** Which limit that is. */
  limit?: MetLimit;
}

/** Which usage limit an account met. */
export interface MetLimit {
  /** As `UsageLimit`. */
  kind: string;
  /** Codex's name of the limit; null: not known. */
  limitId: string | null;
  /** Refusals in a row, this one included. */
  times: number;
}

export interface AcquireArguments {
  ref: TaskRef;
  credential: CredentialSource;
}

/** Another assignment of the same task is on a host, or a dead host's: it is to end before this one begins. */
export interface Held {
  kind: 'held';
  by: TaskRef;
  hostId: string;
  /** How many hosts codex ran on before that one. */
  generation: number;
  lease: LeaseRef | null;
  /** Of that host, as `Claimed` has it. */
  ttlMs?: number;
}

export interface BusyLimit {
  /** ISO 8601. */
  until: string;
  /** Every living seed of the source is out of quota; else others are leased, which may be given back before. */
  isAll: boolean;
}

export type Acquired = (
  | Held
  | { kind: 'leased'; lease: LeaseRef }
  /** `limit`: when the first account is back that is out of quota; null: none is. */
  | { kind: 'busy'; limit?: BusyLimit | null }
  | { kind: 'no-seed' }
) & {
  /** Whether the namespace knows the task's search attributes; upserting an unknown one hangs a workflow. */
  searchAttributes: boolean | string[];
};

export interface ClaimArguments extends TaskRef {
  /** `ACTIVITY_PROTOCOL` of the workflow. */
  protocol: number;
  /** Hosts on which an activity of this task failed: used only when there is no other. */
  avoid?: string[];
}

export interface Claimed {
  hostId: string;
  /** How long a lease lives without renewal there, milliseconds; the waits for this host follow it. */
  ttlMs?: number;
}

/** What a host learns of a task that another one began. */
export interface PreviousHost {
  /** The host that had it. */
  from: string;
  /** How many hosts codex ran on before. */
  generation: number;
  /** The newest event that is known to have been given an id. */
  lastEventId: number;
  /** Requests that were open there: nobody can answer them any more. */
  requests: string[];
  /** Ids of hook requests of earlier hosts: those without an answer, and the newest of the others. */
  hookRequests?: { open: string[]; settled: string[] };
}

/** A host that is asked about, or to be kept from, one task. */
export interface HostArguments {
  hostId: string;
  ref: TaskRef;
}

/** The state of a host's lease, by the database's clock. */
export interface HostSight {
  isAlive: boolean;
  /** Milliseconds since the epoch. */
  expiresAtMs: number;
  /** Milliseconds until the right ends, unless it is renewed. */
  endsInMs: number;
}

export interface LookArguments extends HostArguments {
  /** What an earlier look saw. */
  since?: HostSight;
  away?: boolean;
}

export type HostLook = 'over' | 'renewed' | HostSight;

export interface EvictArguments extends HostArguments {
  asked?: boolean;
}

/** JSON that lies in the database, in pieces of its text, because it is too large for a payload. */
export interface Kept {
  blobIds: string[];
}

/** Parts of deliveries in one such JSON: a list of `DeliveryPart`. */
export interface KeptBatch extends Kept {
  /** 1: things for the session; more: batches of one level less, which no delivery has. */
  level: number;
  /** Messages among them, and the first of their ids. */
  messages: number;
  ids: string[];
}

export interface KeepArguments {
  ref: TaskRef;
  text: string;
}

export interface PrepareArguments {
  ref: TaskRef;
  spec: TaskSpec;
  /** Fields that stand empty in `spec`. */
  keptSpec?: Kept;
  lease: LeaseRef | null;
  moved?: PreviousHost | null;
}

export interface Launched {
  threadId: string;
  model: string | null;
  controls: Control[];
  warnings: string[];
  /** It begins with a message; absent: when there is a `prompt`. */
  isBusy?: boolean;
}

/** One delivery has at most 256 KiB and 100 messages; the rest follows in the next ones. */
export interface Delivery {
  ref: TaskRef;
  messages: TaskMessage[];
  decisions: PermissionDecision[];
  /** Of hooks, to hook requests. */
  answers: HookRequestAnswer[];
  controls: KeyedControl[];
  interrupts?: Interrupt[];
  /** All that were given while the task runs, as they are now. */
  rules?: RulesInForce[];
  /** The session ends: the delivery brings nothing that it would begin. */
  close: boolean;
  /** What is in the database. */
  batches?: KeptBatch[];
  /** In which order all of it came: each names the list that has the next one. */
  order?: DeliveryKind[];
}

/** One word to interrupt, which acts once however often it is delivered. */
export interface Interrupt {
  interruptId: string;
}

/** Takes the place of what an earlier one of this task said. */
export interface RulesInForce {
  /** Grows with every change. */
  revision: number;
  /** Oldest first. */
  rules: TaskRule[];
}

/** The same of a setting. */
export interface KeyedControl extends ControlChange {
  changeId?: string;
}

export type DeliveryKind = DeliveryPart['kind'];

/** One thing that a delivery has. */
export type DeliveryPart =
  | { kind: 'message'; value: TaskMessage }
  | { kind: 'decision'; value: PermissionDecision }
  | { kind: 'control'; value: KeyedControl }
  | { kind: 'answer'; value: HookRequestAnswer }
  | { kind: 'batch'; value: KeptBatch }
  | { kind: 'interrupt'; value: Interrupt }
  | { kind: 'rules'; value: RulesInForce };

/** How the session on the host ended. */
export interface SessionEnd {
  end:
    | { kind: Outcome }
    | { kind: 'failed'; code: ErrorCode; message: string; details?: BadOutputDetails }
    /** The account is out of quota, and not to be asked again before `resetsAt` (ISO 8601). */
    | { kind: 'limited'; turnId: string; resetsAt: string; limit?: MetLimit };
  report: SessionReport;
  finalMessage: string | null;
  finalMessageTruncated: boolean;
  /** As `CodexTaskResult` has them. */
  output?: unknown;
  outputOmitted?: boolean;
}

/** Warnings about the task's account. */
export interface CredentialState {
  /** One line each. */
  warnings: string[];
  /** Record of the newest credential that could not go into its seed. */
  quarantineId: string | null;
  /** The lease under which it was saved: taken again after an outage it has another epoch. */
  lease?: LeaseRef;
}

/** Warnings about a session that was stopped, one line each. */
export interface SessionStopped {
  warnings: string[];
}

export interface ParkArguments {
  ref: TaskRef;
  lease: LeaseRef | null;
  /** The turn that the limit ended. */
  turnId: string;
  /** ISO 8601. */
  until: string;
}

export interface CaptureArguments {
  ref: TaskRef;
  lease: LeaseRef | null;
  pool: string | null;
  metadata: Record<string, unknown>;
}

export interface CloseArguments {
  ref: TaskRef;
  reason: string;
  outcome: string;
  /** The snapshot failed: the workdir is set aside instead of removed. */
  keepWork: boolean;
  /** Ids of messages that never came to this host. */
  undelivered?: string[];
}

/** `warnings`: what the snapshot lacks; absent from hosts that do not report it. */
export interface SnapshotTaken {
  snapshotId: string;
  warnings?: readonly string[];
}

export interface SnapshotArguments {
  ref: TaskRef;
  settings: TaskSpec['snapshot'];
  /**
   * `checkpoint`: the task continues, codex lives; `end`: the last one of an assignment on a host. Neither closes
   * anything.
   */
  kind: 'checkpoint' | 'end';
  /** `running` with a checkpoint. */
  endState: 'done' | 'cancelled' | 'failed' | 'running';
  threadId: string | null;
}
