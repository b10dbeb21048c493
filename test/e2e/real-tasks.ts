import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput, PermissionRequest, TaskState } from '../../src/contract/index.js';
import {
  assistantMessage,
  commandCall,
  modelProvider,
  outputsOfTurn,
  type ModelScript,
} from '../../src/dev/model-server.js';
import { findSeedInfo, type SeedInfo } from '../../src/store/seed-info.js';
import { insertSeed } from '../../src/store/seeds.js';
import { until } from '../support/until.js';
import type { RealStack } from './real-stack.js';

export const AUTH = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));

/** What tests of a real stack do with its tasks. */
export const realTasks = (stack: () => RealStack) => ({
  newSeed: (pool: string): Promise<string> => insertSeed(stack().store, { authJson: AUTH, pool }),
  seedInfo: (seedId: string): Promise<SeedInfo | null> => findSeedInfo(stack().store, seedId),
  /** Starts a task on a seed of its own, in a pool of its own unless `pool` names one. */
  start: async (
    input: CodexTaskInput,
    pool: string = randomUUID(),
  ): Promise<{ task: TaskHandle; seedId: string }> => {
    const { store, client, model } = stack();
    const seedId = await insertSeed(store, { authJson: AUTH, pool });
    const taskId = `task-${randomUUID()}`;
    await client.start(taskId, { credential: { pool }, codexConfig: modelProvider(model.url), ...input });
    return { task: client.handle(taskId), seedId };
  },
  /** The process that serves the task. */
  processOf: async ({ taskId }: TaskHandle): Promise<{ pid: number; startTime: number }> => {
    const text = await readFile(join(stack().line.dataDir, 'tasks', taskId, 'process.json'), 'utf8');
    return JSON.parse(text) as { pid: number; startTime: number };
  },
  /** The task has ended and left neither a lease nor a folder. */
  expectPutBack: async (task: TaskHandle, seedId: string): Promise<void> => {
    expect(await findSeedInfo(stack().store, seedId)).toMatchObject({ leased: false });
    await expect(readFile(join(stack().line.dataDir, 'tasks', task.taskId, 'task.json'))).rejects.toThrow(
      'ENOENT',
    );
  },
});

/** A model that asks for a command outside the sandbox, then says `answer`, or what the command printed. */
export const asksFor =
  (command: string, answer?: string): ModelScript =>
  (request) => {
    const outputs = outputsOfTurn(request);
    return outputs.length === 0
      ? [commandCall(command, { escalated: true, justification: 'the test asks' })]
      : [assistantMessage(answer ?? `saw ${outputs.join('')}`)];
  };

export const inState = (task: TaskHandle, state: TaskState) =>
  until(`state ${state}`, async () => (await task.status().catch(() => null))?.state === state);

export const openRequest = (task: TaskHandle) =>
  until('an open request', async () => (await task.status().catch(() => null))?.pending[0]);

/** The request that codex asks after this one was lost. */
export const askedAnew = (task: TaskHandle, lost: PermissionRequest) =>
  until(
    'the request asked anew',
    async () => {
      const open = await openRequest(task);
      return open.requestId !== lost.requestId && open;
    },
    40_000,
  );

export interface WholeStream {
  ids: number[];
  events: Record<string, unknown>[];
}

/** Reads the whole stream from its first event to its end. */
export async function wholeStream(task: TaskHandle): Promise<WholeStream> {
  const ids: number[] = [];
  const events: Record<string, unknown>[] = [];
  for await (const { id, event } of task.events()) {
    ids.push(id);
    events.push(event);
  }
  return { ids, events };
}
