import type {
  ApprovalSettings,
  CredentialSource,
  HookName,
  HookTarget,
  OutputSchema,
  SandboxSettings,
  SnapshotSettings,
  TaskLimits,
  TaskMode,
} from './index.js';

/** A task's input with every default filled in; null: not given and without a default. */
export interface TaskSpec {
  taskId: string;
  prompt: string | null;
  mode: TaskMode;
  model: string | null;
  effort: string | null;
  instructions: string | null;
  sandbox: Whole<SandboxSettings>;
  approvals: Whole<Omit<ApprovalSettings, 'timeoutMs' | 'execpolicy'>> & {
    timeoutMs: number | null;
    execpolicy?: string;
  };
  credential: CredentialSource;
  resume: { snapshotKey: string } | { snapshotId: string } | null;
  /** `exclude` null: the usual list. */
  snapshot: Whole<Omit<SnapshotSettings, 'exclude'>> & { exclude: string[] | null };
  captureSeed: { pool: string | null; metadata: Record<string, unknown> } | null;
  files: { path: string; blobId: string }[];
  codexConfig: Record<string, unknown>;
  env: Record<string, string>;
  passEnv: string[];
  hostProtocol: boolean;
  hooks: Clean<Partial<Record<HookName, HookTarget>>>;
  ui: Record<string, unknown> | null;
  /** `outputRetries` absent: a task of an earlier version, 1. */
  limits: Whole<Omit<TaskLimits, 'totalMs' | 'outputRetries'>> & {
    totalMs: number | null;
    outputRetries?: number;
  };
  /** Absent: none. */
  outputSchema?: OutputSchema;
}

type Whole<T> = Required<Clean<T>>;

/** Without the fields that are there and undefined: callers may give them, and a checked input has none. */
export type Clean<T> = T extends object ? { [K in keyof T]: Clean<Exclude<T[K], undefined>> } : T;
