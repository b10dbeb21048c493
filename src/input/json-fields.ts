import * as v from 'valibot';
import * as is from './checks.js';
import { isObject } from './clean-json.js';
import { isOfCodex, nameRefusal, OWNED_NAMES } from './environment-names.js';

/** A variable of the worker's that a task may ask for. */
export const hostEnvName = is.that<string>(
  `a variable name (letters, digits, _) other than ${OWNED_NAMES.join(', ')} and the worker's own settings`,
  (value) => typeof value === 'string' && nameRefusal(value) === null,
);

const ANOTHER_NAME = {
  malformed: 'a variable name (letters, digits, _)',
  owned: 'another name: the worker sets this one',
  'of the worker': "another name: this one is the worker's own",
  'of codex': 'another name: its host makes settings of codex, and passEnv passes them on',
};

/** Variables added to the environment of codex and of commands. */
export const env = v.pipe(
  is.object,
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [key, value] of Object.entries(dataset.value)) {
      const path = is.at(dataset.value, key);
      const refusal = nameRefusal(key) ?? (isOfCodex(key) ? 'of codex' : null);
      if (refusal !== null) addIssue({ path, message: ANOTHER_NAME[refusal] });
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
