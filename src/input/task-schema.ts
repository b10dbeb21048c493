import * as v from 'valibot';
import { BUDGETS } from '../budgets/budgets.js';
import * as is from './checks.js';
import { isObject } from './clean-json.js';
import { parseExecpolicy } from './execpolicy.js';
import { codexConfig, env, hostEnvName, metadata } from './json-fields.js';
import { outputSchema } from './strict-schema.js';

const optional = v.optional;

const sandbox = v.pipe(
  is.strict({
    mode: optional(is.oneOf('read-only', 'workspace-write', 'danger-full-access')),
    network: optional(is.boolean),
    grants: optional(is.list(is.strict({ path: is.hostPath, access: is.oneOf('ro', 'rw') }))),
    git: optional(is.oneOf('read-only', 'writable')),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    const input: unknown = dataset.value;
    if (!isObject(input) || input['mode'] !== 'read-only') return;
    const { network, grants, git } = input;
    const refuse = (value: unknown, expected: string, ...path: (string | number)[]) =>
      addIssue({
        path: is.at(dataset.value, ...path),
        input: value,
        message: `${expected} under "read-only"`,
      });
    if (network === true) refuse(network, 'false', 'network');
    if (git === 'writable') refuse(git, '"read-only"', 'git');
    (Array.isArray(grants) ? grants : []).forEach((grant: unknown, index) => {
      if (isObject(grant) && grant['access'] === 'rw') refuse('rw', '"ro"', 'grants', index, 'access');
    });
  }),
);

/** Rules of one task: looking through them takes the worker's time at each request. */
export const MAX_RULES = 200;
const MAX_POLICY_CHARACTERS = 65_536;

const word = v.union(
  [
    is.text,
    v.pipe(
      is.list(is.text),
      v.check((words) => words.length > 0),
    ),
  ],
  'a non-empty string, or a list of them',
);

/** A rule for requests, in an input or of a running task. */
export const rule = is.strict({
  kind: optional(
    is.oneOf('command', 'stdin', 'fileChange', 'permissions', 'userInput', 'elicitation', 'tool'),
  ),
  commandPrefix: optional(
    v.pipe(
      is.list(word, 'a non-empty array of words'),
      v.check((words) => words.length > 0, 'a non-empty array of words'),
    ),
  ),
  pattern: optional(is.pattern),
  path: optional(is.text),
  server: optional(is.text),
  tool: optional(is.text),
  network: optional(is.list(is.text)),
  grants: optional(is.list(is.strict({ path: is.hostPath, access: is.oneOf('ro', 'rw') }))),
  then: is.oneOf('allow', 'deny', 'ask'),
});

const execpolicy = v.pipe(
  is.anyString,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    if (dataset.value.length > MAX_POLICY_CHARACTERS)
      return addIssue({ message: `at most ${MAX_POLICY_CHARACTERS} characters` });
    try {
      const count = parseExecpolicy(dataset.value).length;
      if (count > MAX_RULES) addIssue({ message: `at most ${MAX_RULES} rules` });
    } catch (error) {
      addIssue({ message: `prefix_rule(pattern=[…], decision="…"), ${(error as Error).message}` });
    }
  }),
);

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

const hook = optional(
  is.strict({
    taskQueue: is.name,
    activityType: is.name,
    timeoutMs: optional(is.milliseconds),
    heartbeatMs: optional(is.milliseconds),
  }),
);

const fields = is.strict({
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
      rules: optional(
        v.pipe(
          is.list(rule),
          v.check((rules) => rules.length <= MAX_RULES, `at most ${MAX_RULES} rules`),
        ),
      ),
      execpolicy: optional(execpolicy),
    }),
  ),
  credential: optional(credential),
  resume: optional(resume),
  snapshot: optional(
    is.strict({
      key: optional(is.name),
      keep: optional(is.count),
      checkpoint: optional(is.oneOf('end', 'turn', 'off')),
      exclude: optional(is.atMostBytes(is.list(is.text), BUDGETS.settings)),
    }),
  ),
  captureSeed: optional(
    is.strict({ pool: optional(is.name), metadata: optional(is.atMostBytes(metadata, BUDGETS.settings)) }),
  ),
  files: optional(is.atMostBytes(files, BUDGETS.files)),
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
  ui: optional(is.atMostBytes(is.object, BUDGETS.ui)),
  limits: optional(
    is.strict({
      turnMs: optional(is.milliseconds),
      idleMs: optional(is.milliseconds),
      totalMs: optional(is.milliseconds),
      uploadBytes: optional(is.count),
      downloadBytes: optional(is.count),
      outputRetries: optional(is.retries),
    }),
  ),
  outputSchema: optional(outputSchema),
});

/** The input of a task as `contract.ts` has it, checked whole. */
export const taskSchema = v.pipe(
  fields,
  v.rawCheck(({ dataset, addIssue }) => {
    const input: unknown = dataset.value;
    if (!isObject(input) || input['hostProtocol'] !== true) return;
    const { sandbox: asked } = input;
    // Its commands could not write into the log; codex cannot make a single file writable.
    if (isObject(asked) && asked['mode'] === 'read-only')
      addIssue({
        path: is.at(input, 'hostProtocol'),
        input: true,
        message: 'false under sandbox.mode "read-only"',
      });
  }),
);
