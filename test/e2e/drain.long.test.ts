import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import {
  assistantMessage,
  commandCall,
  hold,
  outputsOfTurn,
  requestsFor,
} from '../../src/dev/model-server.js';
import { readDeadline, uptimeSeconds } from '../../src/process/deadline.js';
import { isAlive } from '../../src/process/process-identity.js';
import { findHost } from '../../src/store/hosts.js';
import { seedsOf } from '../../src/store/collections.js';
import { findLeftovers } from '../support/leftovers.js';
import { until } from '../support/until.js';
import { startOwnWorker, type OwnWorker } from './own-worker.js';
import { useRealStack } from './real-stack.js';
import { openRequest, realTasks, wholeStream } from './real-tasks.js';

const stack = useRealStack(undefined, ['--no-worker']);
let worker: OwnWorker;

afterEach(async () => {
  worker.kill('SIGTERM');
  worker.kill('SIGTERM');
  await worker.exited;
});

const { start, processOf, expectPutBack } = realTasks(() => stack);

/** Starts the one worker of this host. */
const startWorker = async (mode: string) =>
  (worker = await startOwnWorker(stack, { CODEX_TASK_DRAIN: mode, CODEX_TASK_LOG: 'info' }));

const hasTurns = (task: TaskHandle, turns: number) =>
  until(`${turns} turns`, async () => (await task.status().catch(() => null))?.turns === turns);

/** The model says nothing until this is released. */
function heldModel(answer: string): () => void {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  stack.play(() => [hold(held), assistantMessage(answer)]);
  return release;
}

const readiness = async () => {
  const answer = await fetch(`${stack.line.listenerUrl}/ready`);
  return { status: answer.status, reason: ((await answer.json()) as { reason?: string }).reason };
};

describe('a worker that is asked to stop', () => {
  it('detaches, and Codex with its open request waits for the next worker', async () => {
    await startWorker('detach');
    stack.play((request) =>
      outputsOfTurn(request).length === 0
        ? [commandCall('echo run >> runs.txt; cat runs.txt', { escalated: true, justification: 'test' })]
        : [assistantMessage(`saw ${outputsOfTurn(request).join('')}`)],
    );
    const { task, seedId } = await start({ prompt: 'approval across a drain' });
    const before = await openRequest(task);
    const codex = await processOf(task);
    const stream = wholeStream(task);
    const asked = performance.now();
    worker.kill('SIGTERM');
    expect(await worker.exited).toBe(0);
    expect(performance.now() - asked).toBeLessThan(15_000);
    expect(await isAlive(codex)).toBe(true);
    // Or nobody would stop it if no worker came any more.
    expect(await guards()).toHaveLength(1);
    await expectKept(seedId);
    const deadline = await readDeadline(join(stack.line.dataDir, 'tasks', task.taskId));
    expect(deadline! - uptimeSeconds()).toBeGreaterThan(550);
    await startWorker('detach');
    expect((await processOf(task)).pid).toBe(codex.pid);
    expect((await openRequest(task)).requestId).toBe(before.requestId);
    await task.decide({ requestId: before.requestId, behavior: 'allow' });
    const result = await task.result();
    expect(result).toMatchObject({ outcome: 'completed', turns: 1 });
    expect(result.finalMessage?.match(/run/g)).toHaveLength(1);
    const { ids, events } = await stream;
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.filter(({ type }) => type === 'x-optio-permission-answered')).toHaveLength(1);
    expect(requestsFor(stack.model.requests, 'approval across a drain')).toHaveLength(2);
    await expectPutBack(task, seedId);
  });

  it('waits until its tasks have ended', async () => {
    await startWorker('wait');
    const release = heldModel('in peace');
    const { task, seedId } = await start({ prompt: 'wait for me' });
    await until('the turn', () => requestsFor(stack.model.requests, 'wait for me').length > 0);
    worker.kill('SIGTERM');
    await until('a draining worker', async () => (await readiness()).reason === 'draining');
    expect((await fetch(`${stack.line.listenerUrl}/health`)).status).toBe(200);
    release();
    expect(await task.result()).toMatchObject({ outcome: 'completed', finalMessage: 'in peace' });
    expect(await worker.exited).toBe(0);
    await expectPutBack(task, seedId);
  });

  it('stops Codex gracefully at a second signal, and the next worker repeats the turn', async () => {
    await startWorker('wait');
    const release = heldModel('at last');
    const { task, seedId } = await start({ prompt: 'cut short' });
    await until('the turn', () => requestsFor(stack.model.requests, 'cut short').length > 0);
    const codex = await processOf(task);
    worker.kill('SIGTERM');
    await until('a draining worker', async () => (await readiness()).status === 503);
    expect(await isAlive(codex)).toBe(true);
    worker.kill('SIGTERM');
    expect(await worker.exited).toBe(0);
    expect(await isAlive(codex)).toBe(false);
    await expectKept(seedId);
    release();
    await startWorker('wait');
    expect(await task.result()).toMatchObject({ outcome: 'completed', turns: 1, finalMessage: 'at last' });
    expect(requestsFor(stack.model.requests, 'cut short')).toHaveLength(2);
    await expectPutBack(task, seedId);
  });

  it('moves a task at the end of its turn, and no turn is lost', async () => {
    await startWorker('move');
    const release = heldModel('done here');
    const { task, seedId } = await start({ prompt: 'one more turn', mode: 'conversation' });
    await until('the turn', () => requestsFor(stack.model.requests, 'one more turn').length > 0);
    const codex = await processOf(task);
    worker.kill('SIGTERM');
    await until('a draining worker', async () => (await readiness()).status === 503);
    release();
    expect(await worker.exited).toBe(0);
    expect(await isAlive(codex)).toBe(false);
    await startWorker('move');
    await hasTurns(task, 1);
    await task.sendMessage('another');
    await hasTurns(task, 2);
    await task.close();
    expect(await task.result()).toMatchObject({ outcome: 'closed', turns: 2, finalMessage: 'done here' });
    expect(requestsFor(stack.model.requests, 'one more turn').length).toBeGreaterThan(0);
    const { ids, events } = await wholeStream(task);
    expect(ids).toEqual(ids.map((_, i) => i + 1));
    expect(events.filter(({ method }) => method === 'turn/completed')).toHaveLength(2);
    await expectPutBack(task, seedId);
  });
});

/** The right to run the task and its account stay for the next worker for 10 minutes. */
async function expectKept(seedId: string): Promise<void> {
  const seeds = await seedsOf(stack.store).find().toArray();
  const seed = seeds.find(({ _id }) => _id.toHexString() === seedId);
  const host = await findHost(stack.store, await hostId());
  for (const expiresAt of [seed?.lease?.expiresAt, host?.expiresAt]) {
    expect(expiresAt!.getTime() - Date.now()).toBeGreaterThan(540_000);
    expect(expiresAt!.getTime() - Date.now()).toBeLessThan(610_000);
  }
}

const guards = async () =>
  (await findLeftovers([stack.line.dataDir])).filter(({ command }) => command.includes('guard/main.js'));

const hostId = async () => (await readFile(join(stack.line.dataDir, 'host-id'), 'utf8')).trim();
