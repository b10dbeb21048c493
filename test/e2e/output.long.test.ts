import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { assistantMessage, hold, lastUserText, type ModelRequest } from '../../src/dev/model-server.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';
import { realTasks, wholeStream } from './real-tasks.js';

const stack = useRealStack();
const { start, processOf, expectPutBack } = realTasks(() => stack);

const outputSchema = {
  type: 'object',
  properties: { a: { type: 'integer' } },
  required: ['a'],
  additionalProperties: false,
};
const isCorrection = (request: ModelRequest) => lastUserText(request).includes('/a must be integer');
const corrections = () => stack.model.requests.filter(isCorrection);
const refusals = async (task: TaskHandle) =>
  (await wholeStream(task)).events.filter(({ type }) => type === 'x-optio-output-refused');
const ledgerOf = ({ taskId }: TaskHandle): Promise<string> =>
  readFile(join(stack.line.dataDir, 'tasks', taskId, 'journal/ledger.jsonl'), 'utf8');

it('an answer that arrives while no worker lives is compared and corrected once by the next one', async () => {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  stack.play((request) =>
    isCorrection(request) ? [assistantMessage('{"a":1}')] : [hold(held), assistantMessage('{"a":"1"}')],
  );
  const { task, seedId } = await start({ prompt: 'answered alone', outputSchema });
  await until('the turn', () => stack.model.requests.some((each) => lastUserText(each) === 'answered alone'));
  const { isBack } = await stack.signalWorker('SIGKILL');
  release();
  await isBack();
  expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 2, output: { a: 1 } });
  expect(await refusals(task)).toMatchObject([
    { attempt: 1, willRetry: true, faults: ['/a must be integer'] },
  ]);
  expect(corrections()).toHaveLength(1);
  const format = { type: 'json_schema', strict: true, schema: outputSchema };
  for (const { body } of stack.model.requests) expect(body['text']).toMatchObject({ format });
  await expectPutBack(task, seedId);
});

it('a correction whose worker and Codex die is asked again with its schema, and told once', async () => {
  const before = corrections().length;
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  stack.play((request) =>
    isCorrection(request) ? [hold(held), assistantMessage('{"a":"2"}')] : [assistantMessage('{"a":"1"}')],
  );
  const { task, seedId } = await start({ prompt: 'both die', outputSchema });
  await until('the correction', () => corrections().length > before);
  await until('its message', async () => (await ledgerOf(task)).includes('x-optio-output-1-'));
  process.kill((await processOf(task)).pid, 'SIGKILL');
  await stack.endWorker('SIGKILL');
  release();
  await expect(task.result()).rejects.toMatchObject({
    code: 'BadOutput',
    details: { text: '{"a":"2"}', faults: ['/a must be integer'] },
  });
  expect((await refusals(task)).map(({ attempt, willRetry }) => [attempt, willRetry])).toEqual([
    [1, true],
    [2, false],
  ]);
  expect(corrections()).toHaveLength(before + 2);
  for (const { body } of corrections())
    expect(body['text']).toMatchObject({
      format: { type: 'json_schema', strict: true, schema: outputSchema },
    });
  await expectPutBack(task, seedId);
});
