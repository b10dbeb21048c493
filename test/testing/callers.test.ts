import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker, type WorkflowBundle } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTaskClient, type TaskHandle } from '../../src/client/index.js';
import type { CodexTaskInput } from '../../src/contract/index.js';
import {
  scriptedCodex,
  startScriptedWorker,
  type Script,
  type ScriptedWorker,
} from '../../src/testing/index.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { startTimeSkipping, type TestTemporal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { freshQueue } from '../workflows/stub-host.js';

const HOUR_MS = 3_600_000;

let temporal: TestTemporal;
let bundle: WorkflowBundle;
beforeAll(async () => {
  quietRuntime();
  const workflowsPath = fileURLToPath(new URL('all-workflows.ts', import.meta.url));
  [temporal, bundle] = await Promise.all([startTimeSkipping(), bundleWorkflowCode({ workflowsPath })]);
});
afterAll(() => temporal.close());

interface Calling {
  readonly worker: ScriptedWorker;
  readonly taskId: string;
  readonly task: TaskHandle;
  readonly decide: (behavior: 'allow' | 'deny') => Promise<unknown>;
  readonly answer: Promise<string>;
  readonly merged: (string | null)[];
}

/** Starts the caller's workflow, whose Worker has the workflows of tasks too where `isOwn`. */
async function call<T>(
  script: Script,
  input: CodexTaskInput,
  test: (calling: Calling) => Promise<T>,
  { isOwn = false } = {},
): Promise<T> {
  const { environment } = temporal;
  const { client, nativeConnection: connection } = environment;
  const taskQueue = freshQueue();
  const worker = await startScriptedWorker(environment, script, {
    taskQueue,
    workflowBundle: isOwn ? 'none' : bundle,
  });
  const merged: (string | null)[] = [];
  const merge = async (text: string | null) => {
    merged.push(text);
    return `merged: ${text}`;
  };
  const ownQueue = isOwn ? taskQueue : freshQueue();
  const own = await Worker.create({
    connection,
    taskQueue: ownQueue,
    workflowBundle: bundle,
    debugMode: true,
    activities: { ...(isOwn && worker.activities), merge },
  });
  try {
    return await own.runUntil(async () => {
      const taskId = `child-${randomUUID()}`;
      const caller = await client.workflow.start('reviewAndMerge', {
        taskQueue: ownQueue,
        workflowId: `caller-${randomUUID()}`,
        args: [taskQueue, taskId, { prompt: 'Review it', ...input }],
      });
      const task = createTaskClient({ client }).handle(taskId);
      const decide = async (behavior: 'allow' | 'deny') => {
        const { requestId } = await worker.whenAsked(taskId);
        return task.decide({ requestId, behavior });
      };
      const calling = {
        worker,
        taskId,
        task,
        decide,
        merged,
        get answer() {
          return caller.result() as Promise<string>;
        },
      };
      return await test(calling);
    });
  } finally {
    await worker.close();
  }
}

const asking = scriptedCodex()
  .asks({ kind: 'command', command: 'git push' })
  .onAllow('pushed')
  .onDeny('kept')
  .ends();

describe('a caller’s workflow next to tasks that play scripts', () => {
  it.each([
    ['allow', 'merged: pushed'],
    ['deny', 'merged: kept'],
  ] as const)('has its task as a child and continues after it: %s', async (behavior, answer) => {
    await call(asking, {}, async (calling) => {
      await calling.decide(behavior);
      expect(await calling.answer).toBe(answer);
    });
  });

  it('runs on its own Worker, which also runs the activities of its tasks', async () => {
    const run = async (calling: Calling) => {
      await calling.decide('allow');
      expect(await calling.answer).toBe('merged: pushed');
      expect(calling.merged).toEqual(['pushed']);
    };
    await call(asking, {}, run, { isOwn: true });
  });

  it('waits with its task for an account that is out of quota', async () => {
    const script = scriptedCodex()
      .parks(5 * HOUR_MS)
      .ends('after five hours');
    await call(script, {}, async ({ answer }) => {
      expect(await answer).toBe('merged: after five hours');
    });
  });
});

it('learns that a task without a request will not ask', async () => {
  await call(scriptedCodex().hangs(), {}, async ({ worker, taskId, task }) => {
    await until('its session', async () => (await task.status().catch(() => null))?.state === 'running');
    await expect(worker.whenAsked(taskId, 50)).rejects.toMatchObject({ code: 'NotFound' });
    expect(() => worker.loseHost('another')).toThrow('No task another');
    await task.close();
    await task.result();
  });
});
