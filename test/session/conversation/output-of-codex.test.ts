import { expect, test } from 'vitest';
import { assistantMessage, commandCall } from '../../../src/dev/model-server.js';
import { until } from '../../support/until.js';
import { startRealSession, type RealSession } from '../real-session.js';
import { answers } from '../scripts.js';

const schemaOf = (name: string) => ({
  type: 'object',
  properties: { [name]: { type: 'integer' } },
  required: [name],
  additionalProperties: false,
});
const outputSchema = schemaOf('a');
const strict = (schema: object) => ({
  type: 'json_schema',
  strict: true,
  schema,
  name: expect.any(String) as string,
});
const formats = ({ model }: RealSession) =>
  model.requests.map(({ body }) => (body['text'] as { format?: unknown } | undefined)?.format);

test('codex asks the model for strict JSON of the schema, in every request of a turn', async () => {
  const script = answers(
    [assistantMessage('{"a":0}'), commandCall('true')],
    [assistantMessage('{"a":1}')],
    [assistantMessage('{"b":2}')],
  );
  const session = await startRealSession(script, { outputSchema });
  await session.thread.accept({ messageId: 'a', text: 'How many?' });
  await session.turns(1);
  await until('the output', () => session.thread.totals.output);
  expect(session.thread.totals.output).toEqual({ value: { a: 1 } });
  await session.thread.accept({ messageId: 'b', text: 'And of those?', outputSchema: schemaOf('b') });
  await session.turns(2);
  await until('the next output', () => session.thread.totals.output);
  expect(session.thread.totals.output).toEqual({ value: { b: 2 } });
  expect(formats(session)).toEqual([strict(outputSchema), strict(outputSchema), strict(schemaOf('b'))]);
});

test('codex gets an answer that does not fit corrected, and a task fails where it stays so', async () => {
  const wrong = [assistantMessage('{"a":"one"}')];
  const session = await startRealSession(answers(wrong, wrong), { mode: 'task', outputSchema });
  await session.thread.accept({ messageId: 'a', text: 'How many?' });
  expect(await session.thread.turns.whenEnded()).toMatchObject({
    kind: 'failed',
    code: 'BadOutput',
    details: { text: '{"a":"one"}', faults: ['/a must be integer'] },
  });
  expect(formats(session)).toEqual([strict(outputSchema), strict(outputSchema)]);
  expect(JSON.stringify(session.model.requests[1]!.body.input)).toContain('/a must be integer');
});
