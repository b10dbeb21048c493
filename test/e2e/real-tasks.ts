import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract.js';
import { modelProvider } from '../../src/dev/model-server.js';
import { insertSeed, listSeeds } from '../../src/store/seeds.js';
import { until } from '../support/until.js';
import type { RealStack } from './real-stack.js';

/** What tests of a real stack do with its tasks. */
export const realTasks = (stack: () => RealStack) => ({
  /** Starts a task on a seed of its own. */
  start: async (input: CodexTaskInput): Promise<{ task: TaskHandle; seedId: string }> => {
    const { store, client, model } = stack();
    const pool = randomUUID();
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
    const seeds = await listSeeds(stack().store);
    expect(seeds.find((each) => each.seedId === seedId)).toMatchObject({ leased: false });
    await expect(readFile(join(stack().line.dataDir, 'tasks', task.taskId, 'task.json'))).rejects.toThrow(
      'ENOENT',
    );
  },
});

const AUTH = Buffer.from(JSON.stringify({ OPENAI_API_KEY: 'sk-test-of-no-value' }));

export const openRequest = (task: TaskHandle) =>
  until('an open request', async () => (await task.status().catch(() => null))?.pending[0], 40_000);

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
