import { type CodexTaskInput } from '../contract/index.js';
import { check } from './checks.js';
import { cleanJson, isObject } from './clean-json.js';
import { refusedKeys } from './config-keys.js';
import { badInput } from './faults.js';
import { taskSchema } from './task-schema.js';
import { idFaults } from './task-id.js';
import type { Fault } from './fault.js';
import type { TaskSpec, Clean } from '../contract/task-spec.js';

export { MAX_TEXT_CHARACTERS } from './checks.js';
export { checkTaskId, isTaskId } from './task-id.js';
export { parseControl, parseDecision, parseMessage, parseOutputSchema, parseRules } from './payloads.js';
/** What is handed on with its nulls; everywhere else null means absent, in `codexConfig` too: TOML has none. */
const AS_THEY_ARE = ['ui', 'captureSeed.metadata', 'outputSchema'];

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
      outputRetries: 1,
      ...limits,
    },
    ...(input.outputSchema && { outputSchema: input.outputSchema }),
  };
}
