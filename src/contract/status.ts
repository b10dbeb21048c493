import type { PermissionRequest } from './permissions.js';

/** Answer of the query `state`. */
export interface TaskStatus {
  state: TaskState;
  taskId: string;
  threadId: string | null;
  host: string | null;
  listener: { url: string } | null;
  /** ISO 8601, in state `parked`: the account is out of quota until then. */
  parkedUntil?: string;
  model: string | null;
  seedId: string | null;
  /** Record of the newest credential of this task that could not go into its seed. */
  quarantineId: string | null;
  pending: PermissionRequest[];
  turns: number;
  usage: TokenUsage;
  /** The session's settings as they are now; empty before codex runs. */
  controls: Control[];
  /** Requests decided by rules on the host, which never were open here. */
  decidedByRule: { allow: number; deny: number };
  warnings: string[];
  lastError?: string;
  /** The first of what it waits for, for people: `waiting for hook <name> on <queue>`, a step that fails, a host. */
  waitingFor?: string;
  /** The agent's last report of its progress, with `hostProtocol`. */
  progress?: Progress;
  ui?: Record<string, unknown>;
}

/**
 * A request that is decided within this time does not become the search attribute `CodexState`: each change of one is
 * paid for. Milliseconds.
 */
export const SHORT_WAIT_MS = 3_000;

export type TaskState =
  | 'waiting-for-credential'
  | 'waiting-for-host'
  | 'preparing'
  | 'starting'
  | 'idle'
  | 'running'
  | 'waiting-for-permission'
  | 'parked'
  | 'recovering'
  | 'tearing-down'
  | 'completed'
  | 'failed'
  | 'cancelled';

/** A setting of the session as the user interface shows it. */
export type Control =
  | {
      id: 'model';
      kind: 'select';
      label: string;
      category: 'model';
      value: string | null;
      disabled: boolean;
      whyDisabled?: string;
      options: { value: string; label: string; disabled: boolean }[];
    }
  | {
      id: 'reasoning_effort';
      kind: 'slider';
      label: string;
      category: 'thought_level';
      value: string | null;
      levels: string[];
    };

/** A line `STATUS: [N%] text`. */
export interface Progress {
  /** 0 to 100. */
  percent: number | null;
  text: string;
}

/** A host that may not take a task, since it speaks another version of the activities. */
export interface ClaimRefused {
  hostId: string;
  /** The version it speaks. */
  protocol: number;
}

/** A host that has returned; `lease`: its present lease of the task's seed. */
export interface HostRestarted {
  hostId: string;
  lease?: { seedId: string; holder: string; leaseEpoch: number };
}

/** Codex's running total of a thread (`tokenUsage.total`). */
export interface TokenUsage {
  totalTokens: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteInputTokens: number;
  outputTokens: number;
  reasoningOutputTokens: number;
}

export const NO_USAGE: TokenUsage = {
  totalTokens: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0,
};

/** What the host tells the workflow about its session, as the one argument of `sessionChanged`. */
export interface SessionReport {
  /** The assignment on a host that it is about; reports of an earlier one change nothing. */
  assignmentId?: string;
  /** Grows from report to report of an assignment: they travel on several ways, and an older one changes nothing. */
  revision: number;
  /** Of the task's lease, as its host has it now. */
  leaseEpoch?: number;
  /** `recovering`: codex ended by itself and is started again. */
  activity: 'idle' | 'running' | 'recovering';
  threadId: string | null;
  model: string | null;
  turns: number;
  usage: TokenUsage;
  lastError?: string;
  /** Something went wrong that the task survives. */
  warning?: string;
  /** When they changed. */
  controls?: Control[];
  /** All account warnings so far. */
  warnings?: string[];
  quarantineId?: string | null;
  progress?: Progress;
}
