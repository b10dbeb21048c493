import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WorkflowHandle } from '@temporalio/client';
import { DeterminismViolationError } from '@temporalio/workflow';
import { bundleWorkflowCode, Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { createTaskClient } from '../../src/client/index.js';
import {
  closeSignal,
  hostRestartedSignal,
  sessionChangedSignal,
  type SessionReport,
} from '../../src/contract/index.js';
import { stepQueueOf } from './split-workflow.js';
import { elapse } from '../support/elapse.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { workflowBundle } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { connectLocal, type TestTemporal } from '../support/temporal.js';

const APART_MS = 4_000;

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const GUARD = here('../../src/workflows/query-safety-interceptor.ts');

let temporal: TestTemporal;
/** Bundles of `splitTask`. */
let guarded: string;
let unguarded: string;
beforeAll(async () => {
  quietRuntime();
  const folder = await makeFolder();
  temporal = await connectLocal();
  guarded = await bundle(folder.path, [GUARD]);
  unguarded = await bundle(folder.path, []);
  return async () => {
    await temporal.close();
    await folder.remove();
  };
});

async function bundle(folder: string, modules: string[]): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: here('./split-workflow.ts'),
    workflowInterceptorModules: modules,
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} },
  });
  const path = join(folder, `${modules.length}.js`);
  await writeFile(path, code);
  return path;
}

/** A worker that begins to poll, at once, when it is told to. */
async function standBy({ onTestFinished }: TestContext, queues: string[], codePath: string) {
  const { address, namespace } = temporal.environment;
  const args = [here('./mortal-worker.mjs'), address, namespace ?? 'default', codePath, ...queues];
  const worker = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  onTestFinished(() => end(worker, 'SIGKILL'));
  await once(worker.stdout, 'data');
  return async () => {
    worker.stdin.write('poll\n');
    await once(worker.stdout, 'data');
    return worker;
  };
}

const startWorker = async (test: TestContext, queues: string[], codePath: string) =>
  (await standBy(test, queues, codePath))();

async function end(worker: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill(signal);
  await once(worker, 'exit');
}

const report = (workflow: WorkflowHandle, revision: number) =>
  workflow.signal(sessionChangedSignal, { revision } as SessionReport);

type Started = Awaited<ReturnType<typeof startTask>>;

async function startTask(taskQueue: string) {
  const { client } = temporal.environment;
  const workflow = await client.workflow.start('splitTask', { taskQueue, workflowId: taskQueue });
  const task = createTaskClient({ client, listenerSecret: 'a secret of more than 32 characters' }).handle(
    taskQueue,
  );
  await task.status();
  return { workflow, task };
}

/** Has a workflow task go to a worker that never answers: this one. False: a query came here, out of its turn. */
async function withholdTask(workflow: WorkflowHandle): Promise<boolean> {
  const { workflowId } = workflow;
  const { client, namespace = 'default' } = temporal.environment;
  // Not to the worker that had the last one.
  await client.workflowService.resetStickyTaskQueue({ namespace, execution: { workflowId } });
  const wanted = { namespace, taskQueue: { name: workflowId }, identity: 'frozen' };
  const polled = client.withDeadline(Date.now() + 10_000, () =>
    client.workflowService.pollWorkflowTaskQueue(wanted),
  );
  await workflow.signal(hostRestartedSignal, { hostId: 'h' });
  return (await polled).query === null;
}

/** Has a step begun that nobody ends: its end is two events, its start and that its time is over. */
async function takeStep(workflow: WorkflowHandle): Promise<void> {
  const { client, namespace = 'default' } = temporal.environment;
  await workflow.signal(hostRestartedSignal, { hostId: 'h' });
  const taskQueue = { name: stepQueueOf(workflow.workflowId) };
  const { taskToken } = await client.withDeadline(Date.now() + 10_000, () =>
    client.workflowService.pollActivityTaskQueue({ namespace, taskQueue, identity: 'idle' }),
  );
  // The server answers a poll with nothing when its time is over.
  if (taskToken.length === 0) throw new Error(`No step of ${workflow.workflowId} came in 10 s`);
}

/** The server's clocks lead to what is to be tried, but not on a machine that keeps them waiting too long. */
const ARRANGEMENTS = 3;

/**
 * A worker is killed; queries wait for the next one, as do signals; others come after the queries' answers. When the
 * first query is answered, no workflow task took the signals in yet; when the second is, another worker had it.
 * @returns the tasks once they have ended; null when it did not come about
 */
async function askBetweenTasks(
  test: TestContext,
  name: string,
  codePath: string,
): Promise<WorkflowHandle[] | null> {
  const queues = ['to-come', 'withheld', 'withheld-with-step'].map((each) => `${name}-${each}`);
  const [startFirst, startNext] = await Promise.all([1, 2].map(() => standBy(test, queues, codePath)));
  const first = await startFirst!();
  const tasks = await Promise.all(queues.map(startTask));
  const [toCome, withheld, withStep] = tasks as [Started, Started, Started];
  await takeStep(withStep.workflow);
  await end(first, 'SIGKILL');
  const asked = Promise.all(tasks.map(({ task }) => task.status()));
  asked.catch(() => undefined);
  // Query and signals wait 8 s for the worker that is gone, the signals' workflow task as much later as it came later.
  await elapse(APART_MS);
  await toCome.workflow.signal(hostRestartedSignal, { hostId: 'h' });
  await report(toCome.workflow, 1);
  const isWithheld = await Promise.all([withheld, withStep].map(({ workflow }) => withholdTask(workflow)));
  if (!isWithheld.every(Boolean)) return null;
  await startNext!();
  await expect(asked).resolves.toEqual([{ turns: 1 }, { turns: 1 }, { turns: 2 }]);
  const workflows = tasks.map(({ workflow }) => workflow);
  for (const workflow of workflows) {
    await report(workflow, 2);
    await workflow.signal(closeSignal);
  }
  for (const workflow of workflows) await workflow.result();
  return workflows;
}

const replay = async (workflow: WorkflowHandle, codePath: string) =>
  Worker.runReplayHistory({ workflowBundle: { codePath } }, await workflow.fetchHistory());

function isBroken(error: unknown): boolean {
  if (error instanceof DeterminismViolationError) return true;
  throw error;
}

describe.concurrent('a query before a worker has taken the waiting signals', { timeout: 240_000 }, () => {
  it('leaves a history that replays', async (test) => {
    let replayed = 0;
    for (let n = 0; n < ARRANGEMENTS && replayed === 0; n++)
      for (const workflow of (await askBetweenTasks(test, `guarded-${n}`, guarded)) ?? []) {
        await replay(workflow, guarded);
        replayed++;
      }
    expect(replayed).toBe(3);
  });

  it('breaks the history without the interceptor, by a fault of the SDK', async (test) => {
    const broken = [false, false, false];
    for (let n = 0; n < ARRANGEMENTS && !broken.every(Boolean); n++)
      for (const [i, workflow] of (
        (await askBetweenTasks(test, `unguarded-${n}`, unguarded)) ?? []
      ).entries())
        broken[i] ||= await replay(workflow, unguarded).then(() => false, isBroken);
    expect(broken).toEqual([true, true, true]);
  });

  it('fails as unknown state when the task ended meanwhile', async (test) => {
    const first = await startWorker(test, ['ended'], guarded);
    const { workflow, task } = await startTask('ended');
    // A killed one's poll may still take the signal's workflow task.
    await end(first, 'SIGTERM');
    await report(workflow, 1);
    await workflow.terminate();
    await startWorker(test, ['ended'], guarded);
    const wanted = {
      code: 'NotFound',
      message: expect.stringContaining('signals that no worker had taken') as string,
    };
    await expect(task.status()).rejects.toMatchObject(wanted);
    await expect(task.events().next()).rejects.toMatchObject(wanted);
  });
});

it('is intercepted in the bundle that workers run', async () => {
  const { codePath } = await workflowBundle();
  const entry = /importInterceptors = function[^}]*/.exec(await readFile(codePath, 'utf8'));
  expect(entry?.[0]).toContain('query-safety-interceptor');
});
