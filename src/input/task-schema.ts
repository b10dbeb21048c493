import * as v from 'valibot';
import * as is from './checks.js';
import { isObject } from './clean-json.js';

const optional = v.optional;
const entries = Object.entries;

/** Codex's own folders are made by the worker. */
const OWNED_ENV = ['HOME', 'CODEX_HOME'];
/** Secrets of the worker: with them a task could read every other one. */
const WORKER_SECRETS = [
  'MONGODB_URI',
  'CODEX_TASK_LISTENER_SECRET',
  'CODEX_TASK_SEED_KEY',
  'TEMPORAL_API_KEY',
  'TEMPORAL_CODEC_AUTH',
  'TEMPORAL_TLS_CLIENT_KEY_DATA',
  'TEMPORAL_TLS_CLIENT_KEY_PATH',
];
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

const hostEnvName = is.that<string>(
  `a variable name (letters, digits, _) other than ${OWNED_ENV.join(', ')} and the worker's own secrets`,
  (value) =>
    typeof value === 'string' &&
    ENV_NAME.test(value) &&
    !OWNED_ENV.includes(value) &&
    !WORKER_SECRETS.includes(value),
);

const env = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [key, value] of entries(dataset.value)) {
      const path = is.at(dataset.value, key);
      if (!ENV_NAME.test(key)) addIssue({ path, message: 'a variable name (letters, digits, _)' });
      else if (OWNED_ENV.includes(key)) addIssue({ path, message: 'another name: the worker sets this one' });
      if (typeof value !== 'string' || value.includes('\0'))
        addIssue({ path, message: 'a string value without NUL' });
    }
  }),
);

/** TOML has no null, so neither may what is merged into config.toml. */
const codexConfig = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const path of nullsIn(dataset.value))
      addIssue({ path: is.at(dataset.value, ...path), input: null, message: 'a value that TOML can hold' });
  }),
);

/** The database reads `.` and `$` in names as operators. */
const metadata = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const path of namesIn(dataset.value))
      if (/^$|^\$|[.\0]/.test(String(path.at(-1))))
        addIssue({
          path: is.at(dataset.value, ...path),
          message: 'a name without a leading $, dots and NUL',
        });
  }),
);

const sandbox = v.pipe(
  is.strict({
    mode: optional(is.oneOf('read-only', 'workspace-write', 'danger-full-access')),
    network: optional(is.boolean),
    grants: optional(is.list(is.strict({ path: is.hostPath, access: is.oneOf('ro', 'rw') }))),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    const input: unknown = dataset.value;
    if (!isObject(input) || input['mode'] !== 'read-only') return;
    const { network, grants } = input;
    const refuse = (value: unknown, expected: string, ...path: (string | number)[]) =>
      addIssue({
        path: is.at(dataset.value, ...path),
        input: value,
        message: `${expected} under "read-only"`,
      });
    if (network === true) refuse(network, 'false', 'network');
    (Array.isArray(grants) ? grants : []).forEach((grant: unknown, index) => {
      if (isObject(grant) && grant['access'] === 'rw') refuse('rw', '"ro"', 'grants', index, 'access');
    });
  }),
);

const rule = is.strict({
  kind: optional(is.oneOf('command', 'fileChange', 'permissions', 'userInput', 'elicitation')),
  commandPrefix: optional(
    v.pipe(
      is.list(is.text, 'a non-empty array of words'),
      v.check((words) => words.length > 0, 'a non-empty array of words'),
    ),
  ),
  pattern: optional(is.pattern),
  path: optional(is.text),
  server: optional(is.text),
  tool: optional(is.text),
  then: is.oneOf('allow', 'deny', 'ask'),
});

const seedWait = { waitMs: optional(is.millisecondsOrZero), hostOwnedTokens: optional(is.boolean) };
const credential = is.oneKeyOf({
  pool: is.strict({ pool: is.name, ...seedWait }),
  seedId: is.strict({ seedId: is.name, ...seedWait }),
  apiKeyEnv: is.strict({ apiKeyEnv: hostEnvName }),
  none: is.strict({ none: is.that<true>('true', (value) => value === true) }),
});

const resume = is.oneKeyOf({
  snapshotKey: is.strict({ snapshotKey: is.name }),
  // A malformed id is an unknown one, which fails as SnapshotUnreadable where it is looked up.
  snapshotId: is.strict({ snapshotId: is.name }),
});

const files = v.pipe(
  is.list(is.strict({ path: is.relativePath, blobId: is.blobId })),
  v.rawCheck(({ dataset, addIssue }) => {
    const seen = new Set<unknown>();
    const input: unknown = dataset.value;
    (Array.isArray(input) ? input : []).forEach((file: unknown, index) => {
      const path = isObject(file) ? file['path'] : undefined;
      if (seen.has(path))
        addIssue({ path: is.at(input, index, 'path'), input: path, message: 'each path only once' });
      if (typeof path === 'string') seen.add(path);
    });
  }),
);

const hook = optional(is.strict({ taskQueue: is.name, activityType: is.name }));

/** The input of a task as `contract.ts` has it, checked whole. */
export const taskSchema = is.strict({
  prompt: optional(is.messageText),
  mode: optional(is.oneOf('task', 'conversation')),
  model: optional(is.name),
  effort: optional(is.name),
  instructions: optional(is.anyString),
  sandbox: optional(sandbox),
  approvals: optional(
    is.strict({
      policy: optional(is.oneOf('untrusted', 'on-request', 'never')),
      timeoutMs: optional(is.milliseconds),
      onTimeout: optional(is.oneOf('deny', 'allow')),
      rules: optional(is.list(rule)),
    }),
  ),
  credential: optional(credential),
  resume: optional(resume),
  snapshot: optional(
    is.strict({
      key: optional(is.name),
      keep: optional(is.count),
      checkpoint: optional(is.oneOf('end', 'turn', 'off')),
      exclude: optional(is.list(is.text)),
    }),
  ),
  captureSeed: optional(is.strict({ pool: optional(is.name), metadata: optional(metadata) })),
  files: optional(files),
  codexConfig: optional(codexConfig),
  env: optional(env),
  passEnv: optional(is.list(hostEnvName)),
  hostProtocol: optional(is.boolean),
  hooks: optional(
    is.strict({
      beforeExecute: hook,
      afterExecute: hook,
      onDeliverable: hook,
      onCallerMessage: hook,
      onUpload: hook,
      onSeedSaved: hook,
      onResumeRefresh: hook,
      onPermissionRequest: hook,
      seedProvider: hook,
    }),
  ),
  ui: optional(is.object),
  limits: optional(
    is.strict({
      turnMs: optional(is.milliseconds),
      idleMs: optional(is.milliseconds),
      totalMs: optional(is.milliseconds),
      uploadBytes: optional(is.count),
      downloadBytes: optional(is.count),
    }),
  ),
});

type Path = (string | number)[];

function* nullsIn(value: unknown, path: Path = []): Generator<Path> {
  if (value === null) yield path;
  for (const [key, member] of membersOf(value)) yield* nullsIn(member, [...path, key]);
}

function* namesIn(value: unknown, path: Path = []): Generator<Path> {
  if (isObject(value)) for (const key of Object.keys(value)) yield [...path, key];
  for (const [key, member] of membersOf(value)) yield* namesIn(member, [...path, key]);
}

function membersOf(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((member: unknown, index) => [index, member]);
  return isObject(value) ? entries(value) : [];
}
