import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { bundleWorkflowCode, Worker, type WorkflowBundle } from '@temporalio/worker';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { assistantMessage, hold, modelProvider, requestsFor } from '../../src/dev/model-server.js';
import { freePort } from '../../src/dev/free-port.js';
import { insertSeed } from '../../src/store/seeds.js';
import { codexTaskPlugin } from '../../src/worker/index.js';
import { asksFor, AUTH } from '../e2e/real-tasks.js';
import { useRealStack } from '../e2e/real-stack.js';
import { testFolder } from '../support/folders.js';
import { endLeftovers, findLeftovers } from '../support/leftovers.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { until } from '../support/until.js';
import { turningCodec } from './callers/codec.mjs';

const stack = useRealStack(undefined, ['--no-worker']);
const dataConverter = { payloadCodecs: [turningCodec] };
const workflowsPath = fileURLToPath(new URL('callers/workflows.ts', import.meta.url));
const HOME = { HOME: '/home/nobody' };

let bundle: WorkflowBundle;
beforeAll(async () => {
  quietRuntime();
  bundle = await bundleWorkflowCode({ workflowsPath, plugins: [codexTaskPlugin({ env: HOME })] });
});

/** A worker of the caller's in a process of its own, once it is a host too. */
async function startCaller() {
  const dataDir = join(await testFolder(), 'data');
  onTestFinished(async () => endLeftovers(await findLeftovers([dataDir])));
  const { address, namespace } = stack.temporal;
  const taskQueue = `caller-${randomUUID()}`;
  const port = await freePort();
  const settings = {
    ...{ address, namespace, taskQueue, dataDir, drain: 'wait', minFreeBytes: 1 },
    listen: { host: '127.0.0.1', port },
    publicUrl: `http://127.0.0.1:${port}`,
  };
  const program = fileURLToPath(new URL('callers/worker.mjs', import.meta.url));
  const child = spawn(process.execPath, [program, stack.folder, JSON.stringify(settings)], {
    env: { ...process.env, ...stack.line.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => (said += text.toString()));
  const readiness = async () => {
    if (child.exitCode !== null) throw new Error(`the caller’s worker ended: ${said}`);
    const answer = await fetch(`${settings.publicUrl}/ready`).catch(() => null);
    if (answer?.ok) return 'ready';
    return ((await answer?.json().catch(() => null)) as { reason?: string } | null)?.reason;
  };
  await until('a ready worker', async () => (await readiness()) === 'ready', 60_000);
  const client = new Client({
    connection: stack.temporal.connection,
    namespace,
    plugins: [codexTaskPlugin({ env: HOME, dataConverter })],
  });
  const start = async (prompt: string) => {
    const pool = randomUUID();
    await insertSeed(stack.store, { authJson: AUTH, pool });
    const input = { prompt, credential: { pool }, codexConfig: modelProvider(stack.model.url) };
    const workflowId = `review-${randomUUID()}`;
    return client.workflow.start('review', { taskQueue, workflowId, args: [input] });
  };
  return { client, start, readiness, exited, said: () => said, terminate: () => void child.kill('SIGTERM') };
}

describe('a caller’s worker with the plugin', () => {
  it('runs its workflow, the task that this starts and its hooks in one process, with its own codec', async () => {
    const caller = await startCaller();
    stack.play(asksFor('true', 'looks good'));
    const review = await caller.start('Review it');
    expect(await review.result()).toBe('looks good');
    const taskId = `${review.workflowId}-task`;
    await until('the last hook', () => caller.said().includes(`noted ${taskId} completed`));
    const history = await caller.client.workflow.getHandle(taskId).fetchHistory();
    // Search attributes are indexed by the server, so no codec gets them.
    const encoded = JSON.stringify(history, (name, value: unknown) =>
      name === 'searchAttributes' ? undefined : value,
    );
    const encodings = [...encoded.matchAll(/"encoding":"([^"]+)"/g)];
    const turned = Buffer.from('binary/turned').toString('base64');
    expect(encodings.length).toBeGreaterThan(5);
    expect(encodings.map(([, encoding]) => encoding).filter((each) => each !== turned)).toEqual([]);

    const replay = { workflowBundle: bundle, dataConverter, plugins: [codexTaskPlugin({ env: HOME })] };
    await Worker.runReplayHistory(replay, history, taskId);
    await Worker.runReplayHistory(replay, await review.fetchHistory(), review.workflowId);

    caller.terminate();
    expect(await caller.exited).toEqual([0, null]);
    expect(caller.said()).toContain('closed');
  });

  it('drains at SIGTERM before it stops to poll: a task under way ends, and so does who waits for it', async () => {
    const caller = await startCaller();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    stack.play(() => [hold(held), assistantMessage('at last')]);
    const review = await caller.start('Hold on until then');
    await until('the turn', () => requestsFor(stack.model.requests, 'Hold on until then').length > 0);
    caller.terminate();
    await until('a draining worker', async () => (await caller.readiness()) === 'draining');
    release();
    expect(await caller.exited).toEqual([0, null]);
    expect(caller.said()).toContain(`noted ${review.workflowId}-task completed`);
    expect(caller.said()).toContain('closed');
  });
});
