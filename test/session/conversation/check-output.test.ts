import { Script } from 'node:vm';
import { expect, it, vi } from 'vitest';
import { BUDGETS } from '../../../src/budgets/budgets.js';
import { checkOutput } from '../../../src/session/conversation/check-output.js';

const object = (properties: object, more: object = {}) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...more,
});
const list = object({ a: { type: 'array', items: { type: 'integer' } } });

it('gives what a text says that fits', () => {
  const schema = object(
    { next: { anyOf: [{ $ref: '#' }, { type: 'null' }] }, at: { type: 'string', format: 'date' } },
    { $schema: 'https://json-schema.org/draft/2020-12/schema' },
  );
  const value = { next: { next: null, at: '2026-01-02' }, at: '2026-01-01' };
  expect(checkOutput(schema, ` ${JSON.stringify(value)}\n`)).toEqual({ fits: true, value });
});

it.each<[string | null, object, string[]]>([
  [null, list, ['there is no message']],
  ['The answer is 1', list, ['it is no JSON']],
  ['```json\n{"a":[]}\n```', list, ['it is no JSON']],
  ['[]', list, ['/ must be object']],
  ['{}', list, ["/ must have required property 'a'"]],
  ['{"a":[1,"x",2.5]}', list, ['/a/1 must be integer', '/a/2 must be integer']],
  ['{"a":[],"b":1}', list, ['/ must NOT have additional properties (b)']],
  ['{"a":[1e999]}', list, ['/a/0 must be integer']],
  [
    '{"a":"z"}',
    object({ a: { type: 'string', enum: ['x', 'y'] } }),
    ['/a must be equal to one of the allowed values: ["x","y"]'],
  ],
  ['{"a":"soon"}', object({ a: { type: 'string', format: 'date' } }), ['/a must match format "date"']],
  ['{"a":"b"}', object({ a: { type: 'string', pattern: '^a' } }), ['/a must match pattern "^a"']],
])('tells what does not fit: %s', (text, schema, faults) => {
  const checked = checkOutput(schema as Record<string, unknown>, text);
  expect(checked.fits ? [] : checked.faults.map((fault) => fault.replace(/ at position \d+/, ''))).toEqual(
    faults,
  );
});

it('takes an answer whose first comparison had no time, as on a machine that is busy elsewhere', () => {
  let isFirst = true;
  const busy = vi.spyOn(Script.prototype, 'runInContext').mockImplementation(function (
    this: Script,
    ...args
  ) {
    const late = isFirst;
    isFirst = false;
    busy.mockRestore();
    if (late) throw Object.assign(new Error('timed out'), { code: 'ERR_SCRIPT_EXECUTION_TIMEOUT' });
    return this.runInContext(...args) as unknown;
  });
  expect(checkOutput(list, '{"a":[1]}')).toEqual({ fits: true, value: { a: [1] } });
  expect(isFirst).toBe(false);
});

it('gives up a pattern that searches without end', () => {
  const schema = object({ a: { type: 'string', pattern: '^(a+)+$' } });
  const begun = performance.now();
  const checked = checkOutput(schema, JSON.stringify({ a: `${'a'.repeat(40)}b` }));
  expect(checked).toMatchObject({
    fits: false,
    faults: [expect.stringMatching(/cannot be compared.*timed out/)],
  });
  expect(performance.now() - begun).toBeLessThan(15_000);
});

it('survives an answer that is nested without end', () => {
  const schema = object({ a: { anyOf: [{ $ref: '#' }, { type: 'null' }] } });
  const depth = 200_000;
  expect(checkOutput(schema, '{"a":'.repeat(depth) + 'null' + '}'.repeat(depth)).fits).toBe(false);
});

it('tells the first of very many faults, within what may be told', () => {
  const checked = checkOutput(list, JSON.stringify({ a: Array.from({ length: 5_000 }, () => 'x') }));
  expect(checked.fits ? [] : checked.faults).toHaveLength(20);
  const long = checkOutput(list, JSON.stringify({ a: [], ['x'.repeat(100_000)]: 1 }));
  expect(JSON.stringify(long).length).toBeLessThan(BUDGETS.badOutput.faults + 100);
});
