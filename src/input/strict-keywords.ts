import { isObject } from './clean-json.js';

/**
 * The part of JSON Schema that OpenAI's strict mode takes, by its guide to structured outputs ("Supported schemas",
 * developers.openai.com/api/docs/guides/structured-outputs), with what its service was seen to refuse beyond it: a schema
 * without `type`, `true` in place of one, a list without `items`, members beside `$ref`.
 */
interface Keyword {
  /** The types with which it means something; `top`: only the whole schema has it. */
  readonly of: 'any' | 'top' | readonly (typeof TYPES)[number][];
  readonly expected: string;
  readonly test: (value: unknown) => boolean;
  readonly besideRef?: boolean;
}

export const TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array', 'null'] as const;

const FORMATS: readonly string[] = [
  'date-time',
  'time',
  'date',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uuid',
];

export const LIMITS = {
  /** Objects in objects. */
  levels: 10,
  whole: {
    properties: { count: 5_000, of: 'properties' },
    characters: { count: 120_000, of: 'characters of names and values' },
    enumValues: { count: 1_000, of: 'enum values' },
  },
  longEnum: { from: 250, characters: 15_000 },
} as const;

const isText = (value: unknown) => typeof value === 'string';
const isNumber = (value: unknown) => Number.isFinite(value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isType = (value: unknown) => TYPES.some((type) => type === value);
const isFilled = (value: unknown): value is unknown[] => Array.isArray(value) && value.length > 0;

const text: Pick<Keyword, 'expected' | 'test'> = { expected: 'a string', test: isText };
const number: Pick<Keyword, 'expected' | 'test'> = { expected: 'a number', test: isNumber };
const count: Pick<Keyword, 'expected' | 'test'> = { expected: 'a non-negative integer', test: isCount };
const object: Pick<Keyword, 'expected' | 'test'> = { expected: 'an object', test: isObject };
/** It is looked at by itself. */
const any: Pick<Keyword, 'expected' | 'test'> = { expected: 'a value', test: () => true };

export const KEYWORDS: Readonly<Record<string, Keyword>> = {
  $schema: { of: 'top', ...text, besideRef: true },
  $defs: { of: 'top', ...object, besideRef: true },
  definitions: { of: 'top', ...object, besideRef: true },
  $ref: { of: 'any', ...text, besideRef: true },
  type: {
    of: 'any',
    expected: `one of ${TYPES.join(', ')}, or a list of them`,
    test: (value) => isType(value) || (isFilled(value) && value.every(isType)),
  },
  title: { of: 'any', ...text },
  description: { of: 'any', ...text },
  default: { of: 'any', ...any },
  enum: { of: 'any', expected: 'a non-empty array', test: isFilled },
  const: { of: 'any', ...any },
  anyOf: { of: 'any', expected: 'a non-empty array of schemas', test: isFilled },
  pattern: { of: ['string'], ...text },
  format: {
    of: ['string'],
    expected: FORMATS.join(', '),
    test: (value) => FORMATS.some((format) => format === value),
  },
  minLength: { of: ['string'], ...count },
  maxLength: { of: ['string'], ...count },
  minimum: { of: ['number', 'integer'], ...number },
  maximum: { of: ['number', 'integer'], ...number },
  exclusiveMinimum: { of: ['number', 'integer'], ...number },
  exclusiveMaximum: { of: ['number', 'integer'], ...number },
  multipleOf: {
    of: ['number', 'integer'],
    expected: 'a positive number',
    test: (value) => isNumber(value) && (value as number) > 0,
  },
  items: { of: ['array'], ...any },
  minItems: { of: ['array'], ...count },
  maxItems: { of: ['array'], ...count },
  properties: { of: ['object'], ...object },
  required: {
    of: ['object'],
    expected: 'an array of names',
    test: (value) => Array.isArray(value) && value.every(isText),
  },
  additionalProperties: { of: ['object'], ...any },
};
