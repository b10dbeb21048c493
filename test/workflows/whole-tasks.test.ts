import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { DeterminismViolationError } from '@temporalio/workflow';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { createTaskClient } from '../../src/client/index.js';
import {
  closeSignal,
  hostRestartedSignal,
  sessionChangedSignal,
  type SessionReport,
} from '../../src/contract.js';
import { workflowBundle } from '../support/built-package.js';
import { testFolder } from '../support/folders.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';
import { quietRuntime } from './stub-host.js';

const APART_MS = 4_000;

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const GUARD = here('../../src/workflows/whole-tasks.ts');

let temporal: TestTemporal;
beforeAll(async () => {
  quietRuntime();
  temporal = await connectLocal();
});
afterAll(() => temporal.close());

async function bundle(modules: string[]): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: here('./split-workflow.ts'),
    workflowInterceptorModules: modules,
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  });
  const path = join(await testFolder(), 'bundle.js');
  await writeFile(path, code);
  return path;
}

async function startWorker(
  { onTestFinished }: TestContext,
  taskQueue: string,
  codePath: string,
): Promise<ChildProcess> {
  const { address, namespace } = temporal.environment;
  const args = [here('./mortal-worker.mjs'), address, namespace ?? 'default', taskQueue, codePath];
  const worker = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => kill(worker));
  await once(worker.stdout, 'data');
  return worker;
}

async function kill(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill('SIGKILL');
  await once(worker, 'exit');
}

const report = (workflow: WorkflowHandle, revision: number) =>
  workflow.signal(sessionChangedSignal, { revision } as SessionReport);

/** A worker is killed; a query waits for the next one, as do signals; another comes after the query's answer. */
async function askBetweenTasks(
  test: TestContext,
  taskQueue: string,
  codePath: string,
): Promise<WorkflowHandle> {
  const { client } = temporal.environment;
  const first = await startWorker(test, taskQueue, codePath);
  const workflow = await client.workflow.start('splitTask', { taskQueue, workflowId: taskQueue });
  const task = createTaskClient({ client }).handle(taskQueue);
  await task.status();
  await kill(first);
  const asked = task.status();
  // Query and signals wait 8 s for the worker that is gone, the signals' workflow task as much later as it came later.
  await delay(APART_MS);
  await workflow.signal(hostRestartedSignal, { hostId: 'h' });
  await report(workflow, 1);
  await startWorker(test, taskQueue, codePath);
  await expect(asked).resolves.toEqual({ turns: 1 });
  await report(workflow, 2);
  await workflow.signal(closeSignal);
  await workflow.result();
  return workflow;
}

/**
 * The same, but that other task was handed to a worker that never answers (here this test) when the query comes to the
 * next one.
 */
async function askDuringTask(
  test: TestContext,
  taskQueue: string,
  codePath: string,
): Promise<WorkflowHandle> {
  const { client, namespace = 'default' } = temporal.environment;
  const first = await startWorker(test, taskQueue, codePath);
  const workflow = await client.workflow.start('splitTask', { taskQueue, workflowId: taskQueue });
  const task = createTaskClient({ client }).handle(taskQueue);
  await task.status();
  await kill(first);
  // Waits for that worker too, and comes to a worker after the task below.
  const asked = task.status();
  await delay(APART_MS);
  await client.workflowService.resetStickyTaskQueue({
    namespace,
    execution: { workflowId: taskQueue },
  });
  const wanted = { namespace, taskQueue: { name: taskQueue }, identity: 'frozen' };
  const frozen = client.withDeadline(Date.now() + 10_000, () =>
    client.workflowService.pollWorkflowTaskQueue(wanted),
  );
  await workflow.signal(hostRestartedSignal, { hostId: 'h' });
  expect((await frozen).query).toBeNull();
  await startWorker(test, taskQueue, codePath);
  await expect(asked).resolves.toEqual({ turns: 1 });
  await report(workflow, 1);
  await workflow.signal(closeSignal);
  await workflow.result();
  return workflow;
}

const replay = async (workflow: WorkflowHandle, codePath: string) =>
  Worker.runReplayHistory({ workflowBundle: { codePath } }, await workflow.fetchHistory());

it.concurrent(
  'is told that the last state of a task is not known, when it was ended with signals that nobody had taken',
  async (test) => {
    const { client } = temporal.environment;
    const codePath = await bundle([GUARD]);
    const first = await startWorker(test, 'ended', codePath);
    const workflow = await client.workflow.start('splitTask', { taskQueue: 'ended', workflowId: 'ended' });
    const task = createTaskClient({ client, listenerSecret: 'a secret of more than 32 characters' }).handle(
      'ended',
    );
    await task.status();
    await kill(first);
    await report(workflow, 1);
    await workflow.terminate();
    await startWorker(test, 'ended', codePath);
    const wanted = {
      code: 'NotFound',
      message: expect.stringContaining('signals that no worker had taken') as string,
    };
    await expect(task.status()).rejects.toMatchObject(wanted);
    await expect(task.events().next()).rejects.toMatchObject(wanted);
  },
);

describe.concurrent('a query that comes before the workflow task of signals that wait', () => {
  it('is asked again, and leaves a history that replays', async (test) => {
    const codePath = await bundle([GUARD]);
    await replay(await askBetweenTasks(test, 'guarded', codePath), codePath);
  });

  it('would break the history without its guard, by the SDK’s fault', async (test) => {
    const codePath = await bundle([]);
    const workflow = await askBetweenTasks(test, 'unguarded', codePath);
    await expect(replay(workflow, codePath)).rejects.toBeInstanceOf(DeterminismViolationError);
  });
});

describe.concurrent('a query that comes while a worker has the workflow task and does not answer', () => {
  it('is answered, and leaves a history that replays', async (test) => {
    const codePath = await bundle([GUARD]);
    await replay(await askDuringTask(test, 'guarded-2', codePath), codePath);
  });

  it('would break the history without its guard, by the SDK’s fault', async (test) => {
    const codePath = await bundle([]);
    const workflow = await askDuringTask(test, 'unguarded-2', codePath);
    await expect(replay(workflow, codePath)).rejects.toBeInstanceOf(DeterminismViolationError);
  });
});

it('is guarded against in the code that workers run', async () => {
  const { codePath } = await workflowBundle();
  const entry = /importInterceptors = function[^}]*/.exec(await readFile(codePath, 'utf8'));
  expect(entry?.[0]).toContain('whole-tasks');
});
