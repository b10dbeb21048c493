import {
  type ApprovalSettings,
  type CodexTaskInput,
  type CredentialSource,
  type HookName,
  type HookTarget,
  type SandboxSettings,
  type SnapshotSettings,
  type TaskLimits,
  type TaskMode,
} from './contract.js';
import { check } from './input/checks.js';
import { cleanJson, isObject } from './input/clean-json.js';
import { refusedKeys } from './input/config-keys.js';
import { badInput, type Fault } from './input/faults.js';
import { taskSchema } from './input/task-schema.js';
import { idFaults } from './input/task-id.js';

export { MAX_TEXT_CHARACTERS } from './input/checks.js';
export { checkTaskId, isTaskId } from './input/task-id.js';
export { parseControl, parseDecision, parseMessage } from './input/payloads.js';

/** Without the fields that are there and undefined: callers may give them, and a checked input has none. */
type Clean<T> = T extends object ? { [K in keyof T]: Clean<Exclude<T[K], undefined>> } : T;
type Whole<T> = Required<Clean<T>>;

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
  limits: Whole<Omit<TaskLimits, 'totalMs'>> & { totalMs: number | null };
}

/** What is handed on with its nulls; everywhere else null means absent, in `codexConfig` too: TOML has none. */
const AS_THEY_ARE = ['ui', 'captureSeed.metadata'];

const HOUR_MS = 3_600_000;
const DEFAULT_FILE_BYTES = 10_000_000;

/**
 * Checks a task's input whole and fills in the defaults. Nothing at all is a valid input.
 * @throws TaskError `BadInput` with one line per fault: the dotted path, what was expected, what came
 */
export function parseTaskInput(value: unknown, taskId: string): TaskSpec {
  const faults: Fault[] = idFaults(taskId);
  const clean = cleanJson(value ?? {}, faults, AS_THEY_ARE);
  // What JSON cannot hold stands as null in the copy and would be reported a second time.
  const unclean = faults.some(({ path }) => path[0] !== 'taskId');
  if (!unclean) faults.push(...check(taskSchema, clean), ...settingFaults(clean));
  if (faults.length > 0) throw badInput('input', faults);
  return withDefaults(clean as Clean<CodexTaskInput>, taskId);
}

/** Settings of codex that are the worker's. */
function settingFaults(input: unknown): Fault[] {
  const config = isObject(input) ? input['codexConfig'] : undefined;
  return refusedKeys(isObject(config) ? config : {}).map(({ path, why }) => ({
    path: ['codexConfig', ...path],
    expected: null,
    value: undefined,
    says: why,
  }));
}

/** An input that was checked before, perhaps by other rules: with its defaults, and not checked again. */
export const takeTaskInput = (value: CodexTaskInput | undefined, taskId: string): TaskSpec =>
  withDefaults(cleanJson(value ?? {}, [], AS_THEY_ARE) as Clean<CodexTaskInput>, taskId);

function withDefaults(input: Clean<CodexTaskInput>, taskId: string): TaskSpec {
  const { sandbox, approvals, snapshot, captureSeed, limits } = input;
  return {
    taskId,
    prompt: input.prompt ?? null,
    mode: input.mode ?? 'task',
    model: input.model ?? null,
    effort: input.effort ?? null,
    instructions: input.instructions ?? null,
    sandbox: { mode: 'workspace-write', network: false, grants: [], git: 'read-only', ...sandbox },
    approvals: { policy: 'on-request', timeoutMs: null, onTimeout: 'deny', rules: [], ...approvals },
    credential: input.credential ?? { pool: 'default' },
    resume: input.resume ?? null,
    snapshot: { key: taskId, keep: 5, checkpoint: 'end', exclude: null, ...snapshot },
    captureSeed: captureSeed ? { pool: null, metadata: {}, ...captureSeed } : null,
    files: input.files ?? [],
    codexConfig: input.codexConfig ?? {},
    env: input.env ?? {},
    passEnv: input.passEnv ?? [],
    hostProtocol: input.hostProtocol ?? false,
    hooks: input.hooks ?? {},
    ui: input.ui ?? null,
    limits: {
      turnMs: HOUR_MS,
      idleMs: HOUR_MS,
      totalMs: null,
      uploadBytes: DEFAULT_FILE_BYTES,
      downloadBytes: DEFAULT_FILE_BYTES,
      ...limits,
    },
  };
}
