import * as v from 'valibot';
import * as is from './checks.js';
import { isObject } from './clean-json.js';

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

/** A variable of the worker's that a task may ask for. */
export const hostEnvName = is.that<string>(
  `a variable name (letters, digits, _) other than ${OWNED_ENV.join(', ')} and the worker's own secrets`,
  (value) =>
    typeof value === 'string' &&
    ENV_NAME.test(value) &&
    !OWNED_ENV.includes(value) &&
    !WORKER_SECRETS.includes(value),
);

/** Variables added to codex's environment. */
export const env = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [key, value] of Object.entries(dataset.value)) {
      const path = is.at(dataset.value, key);
      if (!ENV_NAME.test(key)) addIssue({ path, message: 'a variable name (letters, digits, _)' });
      else if (OWNED_ENV.includes(key)) addIssue({ path, message: 'another name: the worker sets this one' });
      if (typeof value !== 'string' || value.includes('\0'))
        addIssue({ path, message: 'a string value without NUL' });
    }
  }),
);

/** Merged into config.toml: TOML has no null, and its integers have 64 bits. */
export const codexConfig = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [path, input] of unfitIn(dataset.value))
      addIssue({ path: is.at(dataset.value, ...path), input, message: 'a value that TOML can hold' });
  }),
);

/** The database reads `.` and `$` in names as operators. */
export const metadata = v.pipe(
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

type Path = (string | number)[];

function* unfitIn(value: unknown, path: Path = []): Generator<[Path, unknown]> {
  if (value === null || (Number.isInteger(value) && !Number.isSafeInteger(value))) yield [path, value];
  for (const [key, member] of membersOf(value)) yield* unfitIn(member, [...path, key]);
}

function* namesIn(value: unknown, path: Path = []): Generator<Path> {
  if (isObject(value)) for (const key of Object.keys(value)) yield [...path, key];
  for (const [key, member] of membersOf(value)) yield* namesIn(member, [...path, key]);
}

function membersOf(value: unknown): [string | number, unknown][] {
  if (Array.isArray(value)) return value.map((member: unknown, index) => [index, member]);
  return isObject(value) ? Object.entries(value) : [];
}
