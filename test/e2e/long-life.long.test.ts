import { randomUUID } from 'node:crypto';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { CODEX_TASK, type CodexTaskInput } from '../../src/contract/index.js';
import {
  assistantMessage,
  commandCall,
  lastUserText,
  modelProvider,
  outputsOfTurn,
  requestsFor,
} from '../../src/dev/model-server.js';
import { shortRunsNamespace } from '../support/temporal.js';
import { until } from '../support/until.js';
import { saveHistory } from '../workflows/histories.js';
import { useRealStack } from './real-stack.js';
import { realTasks } from './real-tasks.js';

// Its tasks go on in another run every 60 events.
const stack = useRealStack(undefined, undefined, shortRunsNamespace);

const { newSeed, seedInfo } = realTasks(() => stack);

async function startTask(input: CodexTaskInput): Promise<TaskHandle> {
  const taskId = `e2e-${randomUUID()}`;
  await stack.temporal.client.workflow.start(CODEX_TASK, {
    taskQueue: 'codex-tasks',
    workflowId: taskId,
    args: [{ codexConfig: modelProvider(stack.model.url), ...input }],
  });
  return stack.client.handle(taskId);
}

const stateOf = async (task: TaskHandle) => (await task.status()).state;

describe('a task that lives long', () => {
  it('continues as new on the same Codex with its stream, request and lease', async () => {
    const rounds = 12;
    stack.play((request) => {
      const outputs = outputsOfTurn(request);
      return outputs.length < rounds
        ? [commandCall(`echo ${outputs.length} >> rounds.txt`, { escalated: true, justification: 'asked' })]
        : [assistantMessage(`done with ${lastUserText(request)}`)];
    });
    const seedId = await newSeed('long');
    const task = await startTask({
      prompt: 'many rounds',
      mode: 'conversation',
      credential: { pool: 'long' },
    });
    const workflow = stack.temporal.client.workflow.getHandle(task.taskId);
    const firstRun = (await workflow.describe()).runId;
    const ids: number[] = [];
    const types: unknown[] = [];
    const followed = (async () => {
      for await (const { id, name } of task.events()) {
        ids.push(id);
        types.push(name);
      }
    })();
    const decided = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      const request = await until(
        'a request',
        async () => (await task.status()).pending.find(({ requestId }) => !decided.has(requestId)),
        30_000,
      );
      decided.add(request.requestId);
      // A worker's death between two runs changes nothing either.
      if (round === 6) await stack.endWorker('SIGKILL');
      await task.decide({ requestId: request.requestId, behavior: 'allow' });
    }
    await until('the end of the turn', async () => (await stateOf(task)) === 'idle');
    const described = await workflow.describe();
    expect(described.runId).not.toBe(firstRun);
    const attribute = (name: string) =>
      described.typedSearchAttributes.get(defineSearchAttributeKey(name, SearchAttributeType.KEYWORD));
    expect([attribute('CodexState'), attribute('CodexSeed')]).toEqual(['idle', seedId]);
    expect(await task.status()).toMatchObject({ turns: 1, pending: [], seedId });
    await task.sendMessage('and this', { messageId: 'm1' });
    await task.sendMessage('and this', { messageId: 'm1' });
    await until('a second turn', async () => (await task.status()).pending.length === 1);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed' });
    await followed;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(types.filter((type) => type === 'x-optio-closed')).toHaveLength(1);
    expect(requestsFor(stack.model.requests, 'many rounds')).toHaveLength(rounds + 1);
    expect(await seedInfo(seedId)).toMatchObject({ leased: false });
    await saveHistory(stack.temporal.client, task.taskId, 'real-continued-last-run');
  }, 180_000);
});

describe('tasks that wait for a credential', () => {
  it('get it in order of arrival, within 5 s', async () => {
    stack.play((request) => [assistantMessage(`heard ${lastUserText(request)}`)]);
    const pool = `queue-${randomUUID()}`;
    const seedId = await newSeed(pool);
    const isHeldBy = async ({ taskId }: TaskHandle) =>
      (await seedInfo(seedId))?.holder?.startsWith(`${taskId}/`);
    const talk = (prompt: string) => startTask({ prompt, mode: 'conversation', credential: { pool } });
    const waits = (task: TaskHandle) =>
      until('a task that waits', async () => (await stateOf(task)) === 'waiting-for-credential');
    const first = await talk('first');
    await until('the first', async () => (await stateOf(first)) === 'idle');
    const others: TaskHandle[] = [];
    for (const name of ['second', 'third', 'fourth']) {
      others.push(await talk(name));
      await waits(others.at(-1)!);
      await until(
        'its place in line',
        async () =>
          (await stack.store.db.collection('optio_codex_waiters').countDocuments()) === others.length,
      );
    }
    let before = first;
    for (const [i, next] of others.entries()) {
      const last = before;
      await last.close();
      await until('a free seed', async () => !(await isHeldBy(last)), 60_000);
      const freed = performance.now();
      await until('the next', () => isHeldBy(next));
      expect(performance.now() - freed).toBeLessThan(5_000);
      await last.result();
      for (const later of others.slice(i + 1)) expect(await stateOf(later)).toBe('waiting-for-credential');
      before = next;
    }
    await before.close();
    await before.result();
  }, 180_000);
});
