import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { assistantMessage, lastUserText, modelProvider } from '../../src/dev/model-server.js';
import { shortRunsNamespace } from '../support/temporal.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';
import { inState, realTasks } from './real-tasks.js';

const stack = useRealStack(() => ({}), [], shortRunsNamespace);
const { start } = realTasks(() => stack);

it('a prompt of a megabyte reaches the model whole after a continue-as-new', async () => {
  const pool = randomUUID();
  const prompts: string[] = [];
  stack.play((request) => {
    const text = lastUserText(request);
    if (text !== 'first') prompts.push(text);
    return [assistantMessage('read it')];
  });
  const { task: holder } = await start({ mode: 'conversation', prompt: 'first' }, pool);
  await inState(holder, 'idle');
  const prompt = `begin ${'0123456789'.repeat(100_000)} end`;
  const taskId = `large-${randomUUID()}`;
  // The pool has one seed, which the first task holds.
  await stack.client.start(taskId, {
    prompt,
    credential: { pool },
    codexConfig: modelProvider(stack.model.url),
  });
  const task = stack.client.handle(taskId);
  await inState(task, 'waiting-for-credential');
  const handle = stack.temporal.client.workflow.getHandle(taskId);
  const runId = async () => (await handle.describe()).runId;
  const before = await runId();
  await until('a further run', async () => {
    await handle.signal('seedAvailable');
    return (await runId()) !== before;
  });
  await inState(task, 'waiting-for-credential');
  expect(prompts).toEqual([]);
  await holder.close();
  await holder.result();
  expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'read it' });
  expect(prompts).toEqual([prompt]);
}, 240_000);
