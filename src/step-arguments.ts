import type {
  Control,
  ControlChange,
  CredentialSource,
  Outcome,
  PermissionDecision,
  SessionReport,
  TaskMessage,
} from './contract.js';
import type { ErrorCode } from './errors.js';
import type { TaskSpec } from './task-input.js';

/** What workflow and activities hand each other: plain JSON, never a credential. */

/** A task in its present run. Everything on a host belongs to one of these. */
export interface TaskRef {
  taskId: string;
  /** First run of the workflow: the same over continue-as-new, another one when the id is used again. */
  runId: string;
}

/** The right to use one seed; a newer lease of the same seed ends it. */
export interface LeaseRef {
  seedId: string;
  holder: string;
  leaseEpoch: number;
}

export interface AcquireArguments {
  ref: TaskRef;
  credential: CredentialSource;
}

export type Acquired = ({ kind: 'leased'; lease: LeaseRef } | { kind: 'busy' } | { kind: 'no-seed' }) & {
  /** Whether the namespace knows the task's search attributes; upserting an unknown one hangs a workflow. */
  searchAttributes: boolean;
};

export interface Claimed {
  hostId: string;
  /** How long a lease lives without renewal there, milliseconds; the waits for this host follow it. */
  ttlMs?: number;
}

/** What a host is told of a task that another one began. */
export interface Moved {
  /** The host that had it. */
  from: string;
  /** How many hosts codex ran on before. */
  stay: number;
  /** The newest event that is known to have been given an id. */
  lastEventId: number;
  /** Requests that were open there: nobody can answer them any more. */
  requests: string[];
}

/** A host that is asked about, or to be kept from, one task. */
export interface HostArguments {
  hostId: string;
  ref: TaskRef;
}

export interface PrepareArguments {
  ref: TaskRef;
  spec: TaskSpec;
  lease: LeaseRef | null;
  moved?: Moved | null;
}

export interface Launched {
  threadId: string;
  model: string | null;
  controls: Control[];
  warnings: string[];
}

export interface Delivery {
  ref: TaskRef;
  messages: TaskMessage[];
  decisions: PermissionDecision[];
  controls: ControlChange[];
  interrupt: boolean;
  close: boolean;
}

/** How the session on the host ended. */
export interface SessionEnd {
  end: { kind: Outcome } | { kind: 'failed'; code: ErrorCode; message: string };
  report: SessionReport;
  finalMessage: string | null;
  finalMessageTruncated: boolean;
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
  /** The snapshot failed: the workdir is kept aside instead of removed. */
  keepWork: boolean;
}

export interface SnapshotArguments {
  ref: TaskRef;
  settings: TaskSpec['snapshot'];
  /** `checkpoint`: the task goes on, codex lives; `end`: the last one of a stay on a host. Neither closes anything. */
  kind: 'checkpoint' | 'end';
  /** `running` with a checkpoint. */
  endState: 'done' | 'cancelled' | 'failed' | 'running';
  threadId: string | null;
}

export interface WatchArguments {
  ref: TaskRef;
  lease: LeaseRef;
  /** Codex has run on this lease: a refused renewal is a lost lease. */
  isLaunched: boolean;
}
