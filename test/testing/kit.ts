import { randomUUID } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { createTaskClient, type TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import { startScriptedWorker, type Script, type ScriptedWorker } from '../../src/testing/index.js';
import { workflowBundle } from '../support/built-package.js';
import { until } from '../support/until.js';
import { freshQueue } from '../workflows/stub-host.js';

export interface Played {
  readonly worker: ScriptedWorker;
  readonly task: TaskHandle;
}

/** Runs `test` on a task that plays the script. */
export async function playTask<T>(
  environment: TestWorkflowEnvironment,
  script: Script,
  input: CodexTaskInput,
  test: (played: Played) => Promise<T>,
): Promise<T> {
  const worker = await startScriptedWorker(environment, script, {
    taskQueue: freshQueue(),
    workflowBundle: await workflowBundle(),
  });
  try {
    const { taskQueue } = worker;
    const client = createTaskClient({ client: environment.client, taskQueue });
    const task = await client.start(`scripted-${randomUUID()}`, { prompt: 'go', ...input });
    return await test({ worker, task });
  } finally {
    await worker.close();
  }
}

export const inState = (task: TaskHandle, state: string) =>
  until(`state ${state}`, async () => (await task.status()).state === state);
