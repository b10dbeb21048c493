import { describe, expect, expectTypeOf, it } from 'vitest';
import { createTaskClient, type TaskHandle } from '../../src/client/index.js';
import { scriptedCodex, type Script } from '../../src/testing/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useTemporal } from '../workflows/run-task.js';
import { inState, playTask, type Played } from './kit.js';

const temporal = useTemporal(connectLocal);
const play = <T>(script: Script, input: CodexTaskInput, test: (played: Played) => Promise<T>) =>
  playTask(temporal.environment, script, input, test);

const schemaOf = <const N extends string>(name: N) =>
  ({
    type: 'object',
    properties: { [name]: { type: 'integer' } },
    required: [name],
    additionalProperties: false,
  }) as const;
const outputSchema = schemaOf('a');

describe('a scripted task with an output schema', () => {
  it('has what its last text says as its output', async () => {
    await play(scriptedCodex().message('I think').ends('{"a":1}'), { outputSchema }, async ({ task }) => {
      expect(await task.result()).toMatchObject({
        outcome: 'completed',
        finalMessage: '{"a":1}',
        output: { a: 1 },
      });
    });
  });

  it('has no output without one', async () => {
    await play(scriptedCodex().ends('{"a":1}'), {}, async ({ task }) => {
      expect(await task.result()).not.toHaveProperty('output');
    });
  });

  it('is corrected by the turn that its script has next', async () => {
    const script = scriptedCodex().message('one').awaitsMessage().ends('{"a":1}');
    await play(script, { outputSchema }, async ({ task, worker }) => {
      expect(await task.result()).toMatchObject({ turns: 2, output: { a: 1 } });
      expect(worker.heard(task.taskId).messages).toHaveLength(1);
    });
  });

  it('fails with the text where its script says nothing better, on another host too', async () => {
    const script = scriptedCodex().message('one').awaitsMessage().losesHost().ends('{"a":"two"}');
    await play(script, { outputSchema }, async ({ task }) => {
      await expect(task.result()).rejects.toMatchObject({
        code: 'BadOutput',
        message: 'The answer does not fit its outputSchema: /a must be integer',
        details: { text: '{"a":"two"}', faults: ['/a must be integer'] },
      });
    });
  });

  it('answers a message by the schema of that, by update and signal', async () => {
    const script = scriptedCodex()
      .message('{"a":1}')
      .awaitsMessage()
      .message('{"b":2}')
      .awaitsMessage()
      .ends('{"c":3}');
    await play(script, { outputSchema, mode: 'conversation' }, async ({ task }) => {
      await inState(task, 'idle');
      await task.sendMessage('next', { outputSchema: schemaOf('b') });
      await until('the second turn', async () => (await task.status()).turns === 2);
      const { workflow } = temporal.environment.client;
      const message = { messageId: 'm3', text: 'last' };
      await workflow.getHandle(task.taskId).signal('sendMessage', { ...message, outputSchema: {} });
      await workflow
        .getHandle(task.taskId)
        .signal('sendMessage', { ...message, outputSchema: schemaOf('c') });
      await until('the third turn', async () => (await task.status()).turns === 3);
      expect((await task.status()).warnings).toEqual([
        expect.stringContaining(
          'Signal sendMessage ignored: outputSchema.type: expected "object" at the top',
        ),
      ]);
      await task.close();
      expect(await task.result()).toMatchObject({ outcome: 'closed', output: { c: 3 } });
    });
  });

  it('says where its output is larger than a result may have', async () => {
    const wide = { ...outputSchema, properties: { a: { type: 'string' } } };
    const text = JSON.stringify({ a: 'x'.repeat(300_000) });
    await play(scriptedCodex().ends(text), { outputSchema: wide }, async ({ task }) => {
      const result = await task.result();
      expect(result).toMatchObject({ outputOmitted: true, finalMessage: text });
      expect(result).not.toHaveProperty('output');
    });
  });
});

it('a schema that is no strict one is refused before the task starts', async () => {
  const { client } = temporal.environment;
  const loose = { ...outputSchema, additionalProperties: true };
  const refusal = 'outputSchema.additionalProperties: expected false on every object, got true';
  const start = createTaskClient({ client }).start('never', { outputSchema: loose });
  await expect(start).rejects.toMatchObject({ code: 'BadInput', message: refusal });
});

it('a constant schema gives the output of its task a type', () => {
  const tasks = createTaskClient({ client: temporal.environment.client });
  const start = () =>
    tasks.start('t', {
      outputSchema: {
        type: 'object',
        properties: {
          verdict: { type: 'string', enum: ['good', 'bad'] },
          notes: { type: 'array', items: { type: 'string' } },
          score: { type: ['number', 'null'] },
          by: { anyOf: [{ type: 'null' }, { type: 'string', const: 'me' }] },
          more: { $ref: '#' },
        },
        required: ['verdict', 'notes', 'score', 'by', 'more'],
        additionalProperties: false,
      },
    });
  interface Output {
    verdict: 'good' | 'bad';
    notes: string[];
    score: number | null;
    by: null | 'me';
    more: unknown;
  }
  expectTypeOf(start).returns.resolves.toEqualTypeOf<TaskHandle<Output>>();
  const plain = (input: CodexTaskInput) => tasks.start('t', input);
  expectTypeOf(plain).returns.resolves.toEqualTypeOf<TaskHandle>();
  const handle = () => tasks.handle<Output>('t');
  expectTypeOf(handle).returns.toEqualTypeOf<TaskHandle<Output>>();
});
