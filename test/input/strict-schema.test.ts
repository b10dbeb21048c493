import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { parseMessage, parseTaskInput } from '../../src/input/parse-task-input.js';
import { workflowBundle } from '../support/built-package.js';
import { refuseBadPatterns, refuseBadSchemaPatterns } from '../../src/input/patterns.js';

const object = (properties: object, more: object = {}) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...more,
});
const of = (schema: object, more: object = {}) => object({ a: schema }, more);
const refusal = (outputSchema: unknown): string => {
  try {
    parseTaskInput({ outputSchema }, 't1');
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

/** An object in an object, in so many levels. */
const nested = (levels: number): object => (levels === 1 ? object({}) : of(nested(levels - 1)));
const many = (count: number, value: (i: number) => unknown) =>
  Array.from({ length: count }, (_, i) => value(i));

describe('a schema of strict mode', () => {
  it.each<[string, object]>([
    ['without a property', object({})],
    [
      'with every type',
      object(
        Object.fromEntries(
          ['string', 'number', 'integer', 'boolean', 'null'].map((type) => [type, { type }]),
        ),
      ),
    ],
    ['with what may be absent as null', of({ type: ['string', 'null'], enum: ['x', null] })],
    [
      'with a list of objects',
      of({ type: 'array', items: of({ type: 'string' }), minItems: 1, maxItems: 3 }),
    ],
    ['with alternatives', of({ anyOf: [{ type: 'null' }, of({ type: 'string', const: 'x' })] })],
    ['that repeats itself', of({ type: 'array', items: { $ref: '#' } })],
    ['with definitions', of({ $ref: '#/$defs/b' }, { $defs: { b: { type: 'string', default: 'x' } } })],
    [
      'that names its dialect',
      object({}, { $schema: 'https://json-schema.org/draft/2020-12/schema', title: 't' }),
    ],
    ['with a format', of({ type: 'string', format: 'date-time', description: 'when' })],
    ['with bounds', of({ type: 'number', minimum: 0, exclusiveMaximum: 2, multipleOf: 0.5 })],
    ['of ten levels', nested(10)],
    ['of 1,000 values', of({ type: 'integer', enum: many(1_000, (i) => i) })],
  ])('is taken as it is: %s', (_, outputSchema) => {
    expect(parseTaskInput({ outputSchema }, 't1').outputSchema).toEqual(outputSchema);
    const message = { messageId: 'm', text: 'x', outputSchema };
    expect(parseMessage(message)).toEqual(message);
  });

  it.each<[string, unknown, string]>([
    ['no object', 'x', 'outputSchema: expected an object'],
    [
      'a list at the top',
      { type: 'array', items: { type: 'string' } },
      'outputSchema.type: expected "object" at the top',
    ],
    [
      'alternatives at the top',
      object({}, { anyOf: [object({})] }),
      'outputSchema.anyOf: expected none at the top',
    ],
    [
      'an object with further members',
      object({}, { additionalProperties: true }),
      'outputSchema.additionalProperties: expected false on every object, got true',
    ],
    [
      'a member that may be absent',
      object({ a: { type: 'string' } }, { required: [] }),
      'outputSchema.required: expected the name of every property',
    ],
    [
      'a member that is none',
      object({}, { required: ['a'] }),
      'outputSchema.required: expected the name of every property',
    ],
    [
      'an object in a list',
      of({ type: 'array', items: { type: 'object', properties: {}, required: [] } }),
      'outputSchema.properties.a.items.additionalProperties: expected false on every object, got nothing',
    ],
    [
      'an object that may be null',
      of({ type: ['object', 'null'] }),
      'outputSchema.properties.a.properties: expected properties, got nothing',
    ],
    [
      'a list of anything',
      of({ type: 'array' }),
      'outputSchema.properties.a.items: expected a schema, which is an object, got nothing',
    ],
    ['anything', of({}), 'outputSchema.properties.a.type: expected a type, $ref or anyOf, got nothing'],
    ['true', of(true as never), 'outputSchema.properties.a: expected a schema, which is an object, got true'],
    ['an unknown type', of({ type: 'date' }), 'outputSchema.properties.a.type: expected one of string,'],
    ...['allOf', 'oneOf', 'not', 'if', 'patternProperties', 'uniqueItems', 'nullable', '$id'].map(
      (keyword): [string, unknown, string] => [
        keyword,
        of({ type: 'string', [keyword]: [] }),
        `outputSchema.properties.a.${keyword}: expected no keyword that strict mode lacks`,
      ],
    ),
    [
      'a keyword of another type',
      of({ type: 'string', minimum: 1 }),
      'outputSchema.properties.a.minimum: expected it with type number or integer only, got 1',
    ],
    [
      'an unknown format',
      of({ type: 'string', format: 'uri' }),
      'outputSchema.properties.a.format: expected date-time,',
    ],
    [
      'definitions further down',
      of({ type: 'string', $defs: {} }),
      'outputSchema.properties.a.$defs: expected it at the top only',
    ],
    [
      'a place that is none',
      of({ $ref: '#/$defs/b' }),
      'outputSchema.properties.a.$ref: expected "#" or the place of one of $defs',
    ],
    ['a document elsewhere', of({ $ref: 'https://example.com' }), 'outputSchema.properties.a.$ref: expected'],
    [
      'something beside a place',
      of({ $ref: '#', description: 'x' }),
      'outputSchema.properties.a.description: expected nothing beside $ref',
    ],
    [
      'an alternative',
      of({ anyOf: [{ type: 'null' }, { type: 'object' }] }),
      'outputSchema.properties.a.anyOf[1].additionalProperties: expected false',
    ],
    ['a definition', object({}, { $defs: { b: {} } }), 'outputSchema.$defs.b.type: expected a type'],
    ['too many levels', nested(11), 'expected objects in at most 10 levels'],
    [
      'too many values',
      of({ type: 'integer', enum: many(1_001, (i) => i) }),
      'outputSchema: expected at most 1000 enum values',
    ],
    [
      'a long enum',
      of({ type: 'string', enum: many(251, (i) => `${i}`.padStart(60, '0')) }),
      'outputSchema.properties.a.enum: expected at most 15000 characters in over 250 values',
    ],
    [
      'too many properties',
      object(Object.fromEntries(many(5_001, (i) => [`${i}`, { $ref: '#' }]) as [string, object][])),
      'outputSchema: expected at most 65536 bytes',
    ],
    [
      'too large a text',
      object({}, { description: 'x'.repeat(65_536) }),
      'outputSchema: expected at most 65536 bytes',
    ],
  ])('is refused by the place in it: %s', (_, outputSchema, message) => {
    expect(refusal(outputSchema)).toContain(message);
    expect(() => parseMessage({ messageId: 'm', text: 'x', outputSchema })).toThrow(message);
  });

  it('names at most fifty faults', () => {
    const members = Object.fromEntries(many(80, (i) => [`a${i}`, {}]) as [string, object][]);
    expect(refusal(object(members)).split('\n')).toHaveLength(50);
  });

  it('has no pattern that is no regular expression, where that can be told', () => {
    const outputSchema = of({ type: 'string', pattern: '(' });
    const spec = parseTaskInput({ outputSchema }, 't1');
    const place = 'outputSchema.properties.a.pattern: expected a regular expression, got "("';
    expect(() => refuseBadPatterns(spec)).toThrow(place);
    expect(() => refuseBadSchemaPatterns(outputSchema)).toThrow(place);
    expect(() => refuseBadSchemaPatterns(of({ type: 'string', pattern: '^a' }))).not.toThrow();
  });
});

it('the code of workflows checks schemas without a compiler, which makes code', async () => {
  const { codePath } = await workflowBundle();
  expect(await readFile(codePath, 'utf8')).not.toMatch(/node_modules\/ajv|new Function\(/);
});

it.each([
  [-1, 'limits.outputRetries: expected a non-negative integer up to 10, got -1'],
  [11, 'limits.outputRetries: expected a non-negative integer up to 10, got 11'],
])('limits.outputRetries is refused: %s', (outputRetries, message) => {
  expect(() => parseTaskInput({ limits: { outputRetries } }, 't1')).toThrow(message);
});
