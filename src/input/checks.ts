import * as v from 'valibot';
import { jsonBytes } from '../budgets/budgets.js';
import { isObject } from './clean-json.js';
import type { Fault } from './fault.js';

/** Codex refuses a longer text. */
export const MAX_TEXT_CHARACTERS = 1_048_576;

/** Ten years: past it a number of milliseconds is a mistake. */
const MAX_MS = 315_360_000_000;

/**
 * A schema whose message is what was expected: `path: expected <message>, got …` is made of it.
 */
export const that = <T>(expected: string, test: (value: unknown) => boolean) => v.custom<T>(test, expected);

const string = (expected: string, test: (text: string) => boolean) =>
  that<string>(expected, (value) => typeof value === 'string' && test(value));

export const boolean = that<boolean>('true or false', (value) => typeof value === 'boolean');
export const anyString = string('a string', () => true);
export const text = string('a non-empty string', (value) => value !== '');
export const name = string('1 to 256 characters', (value) => value.length > 0 && value.length <= 256);
export const object = that<Record<string, unknown>>('an object', isObject);
export const anything = that<unknown>('a value', () => true);
export const messageText = string(
  `1 to ${MAX_TEXT_CHARACTERS} characters`,
  (value) => value !== '' && characters(value) <= MAX_TEXT_CHARACTERS,
);
export const blobId = string('24 hexadecimal digits', (value) => /^[0-9a-f]{24}$/i.test(value));
/** Whether it is one is looked at outside of workflow code: see `patterns.ts`. */
export const pattern = string('a regular expression', () => true);
export const relativePath = string('a relative path without empty, . or .. parts', isRelativePath);
export const hostPath = string('an absolute path, ~ or ~/…, without .. parts', isHostPath);

export const count = integer(1, Number.MAX_SAFE_INTEGER);
export const milliseconds = integer(1, MAX_MS);
export const millisecondsOrZero = integer(0, MAX_MS);
/** Each is a turn that costs what a turn does. */
export const retries = integer(0, 10);

export const oneOf = <const T extends string>(...options: T[]) =>
  that<T>(options.map((option) => JSON.stringify(option)).join(' or '), (value) =>
    options.some((o) => o === value),
  );

/** What has at most so many bytes as encoded JSON. */
export const atMostBytes = <T extends v.GenericSchema>(schema: T, maxBytes: number) =>
  v.pipe(
    schema,
    v.check((value) => jsonBytes(value) <= maxBytes, `at most ${maxBytes} bytes`),
  );

export const list = <T extends v.GenericSchema>(item: T, expected = 'an array') => v.array(item, expected);

/** A schema for each member of T: one that is added to T has to get its own before it compiles. */
export type Members<T> = { readonly [K in keyof Required<T>]: v.GenericSchema };

/** An object with these keys and no other; every unknown key is a fault of its own. */
export const strict = <T = Record<string, unknown>>(entries: Members<T>) =>
  v.pipe(
    object,
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const input = dataset.value;
      for (const [key, schema] of Object.entries<v.GenericSchema>(entries))
        for (const { message, input: value, path = [] } of v.safeParse(schema, input[key]).issues ?? [])
          addIssue({ message, input: value, path: [...at(input, key), ...path] });
      for (const key of Object.keys(input))
        if (!Object.hasOwn(entries, key)) addIssue({ message: UNKNOWN_KEY, path: at(input, key) });
    }),
  );

/** An object with exactly one of these keys, which then chooses the schema. */
export const oneKeyOf = (variants: Readonly<Record<string, v.GenericSchema>>) =>
  v.lazy((value): v.GenericSchema => {
    const keys = isObject(value) ? Object.keys(variants).filter((key) => key in value) : [];
    const chosen = keys.length === 1 ? variants[keys[0] ?? ''] : undefined;
    return chosen ?? that(`an object with exactly one of ${Object.keys(variants).join(', ')}`, () => false);
  });

/** Path of an issue below `input`. */
export function at(input: unknown, ...keys: (string | number)[]): [v.IssuePathItem, ...v.IssuePathItem[]] {
  const items = keys.map((key): v.IssuePathItem => ({
    type: 'unknown',
    origin: 'value',
    input,
    key,
    value: undefined,
  }));
  return items as [v.IssuePathItem, ...v.IssuePathItem[]];
}

/** What is wrong with the value by this schema. */
export const check = (schema: v.GenericSchema, value: unknown): Fault[] => outcomeOf(schema, value).faults;

/** The same, and what the schema makes of the value when nothing is. */
export function outcomeOf(schema: v.GenericSchema, value: unknown): { faults: Fault[]; output: unknown } {
  const { issues = [], output } = v.safeParse(schema, value);
  return { faults: issues.map(faultOf), output };
}

const UNKNOWN_KEY = 'unknown key';

function faultOf(issue: v.BaseIssue<unknown>): Fault {
  const path = (issue.path ?? []).map((item) => item.key as PropertyKey);
  return { path, expected: issue.message === UNKNOWN_KEY ? null : issue.message, value: issue.input };
}

function integer(min: number, max: number) {
  const range = max === Number.MAX_SAFE_INTEGER ? '' : ` up to ${max}`;
  const kind = min > 0 ? 'a positive integer' : 'a non-negative integer';
  return that<number>(
    `${kind}${range}`,
    (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
  );
}

function characters(value: string): number {
  if (value.length <= MAX_TEXT_CHARACTERS) return value.length;
  let pairs = 0;
  for (let i = 0; i < value.length; i += 1) if ((value.codePointAt(i) ?? 0) > 0xffff) pairs += 1;
  return value.length - pairs;
}

function isRelativePath(value: string): boolean {
  return !value.includes('\0') && value.split('/').every((part) => !['', '.', '..'].includes(part));
}

function isHostPath(value: string): boolean {
  return /^(?:\/|~$|~\/)/.test(value) && !value.includes('\0') && !value.split('/').includes('..');
}
