import { randomBytes } from 'node:crypto';
import type { Output } from '../output.js';
import { resultText } from '../result-text.js';
import { untilAborted } from '../until-aborted.js';
import { connectTemporal, createTaskClient, type TaskHandle } from '../../client/index.js';
import { readConfig } from '../../config.js';
import { readListenerSecret } from '../../listener-secret.js';
import { openStore } from '../../store/mongo.js';
import { purgeSeed } from '../../store/remove-seed.js';
import type { Tick } from './run-demo.js';
import { chooseModel, DEMO_POOL } from './demo-model.js';
import type { DevLine } from '../../dev/dev-page.js';
import { watchDemoTask } from './watch-demo-task.js';

/** A named step of the end; the last one opened is the first to be closed. */
export type Closer = readonly [what: string, close: () => Promise<unknown>];

export interface DemoTaskIo {
  output: Output;
  signal: AbortSignal;
  tick: Tick;
  keep: boolean;
  closers: Closer[];
}

const CANCEL_MS = 10_000;

/** Runs the demo's task against a stack and prints its steps, its result and where to look further. */
export async function showDemoTask(line: DevLine, given: NodeJS.ProcessEnv, io: DemoTaskIo): Promise<void> {
  const { output, signal, tick, keep, closers } = io;
  // The line leaves passwords out, so what it does not name comes from the caller's environment.
  const env = { ...given, ...line.env };
  const config = readConfig(env);
  const { mongodbUri: uri, mongoPrefix: prefix, seedKeys } = config;
  const store = await openStore({ uri, prefix, seedKeys });
  closers.unshift(['MongoDB', () => store.close()]);
  const link = await connectTemporal(env);
  closers.unshift(['Temporal', () => link.close()]);
  const model = await chooseModel(env, store);
  closers.unshift(['model', () => model.close()]);
  tick('Model', model.says);
  const { seedId } = model;
  if (seedId !== null) {
    tick('Seed', `${seedId} in pool ${DEMO_POOL}`, { seedId, pool: DEMO_POOL });
    closers.unshift(['seed', () => purgeSeed(store, seedId, { force: true })]);
  }

  const tasks = createTaskClient({
    client: link.client,
    taskQueue: config.taskQueue,
    listenerSecret: config.listenerSecret ?? (await readListenerSecret(line.dataDir)),
  });
  const task = await tasks.start(`demo-${randomBytes(3).toString('hex')}`, {
    ...model.input,
    captureSeed: { pool: DEMO_POOL, metadata: { from: 'demo' } },
    limits: { turnMs: 120_000 },
  });
  closers.unshift(['task', () => endTask(task)]);
  const { runId } = await task.describe();
  tick('Task', `${task.taskId}: ${model.input.prompt ?? ''}`, { taskId: task.taskId, runId });

  const result = await untilAborted(watchDemoTask(task, output, tick, signal), signal);
  tick('Result', resultText(result, output.paint), { result });
  await tellPlaces(task, runId, line, io);
  if (!keep) output.note('These addresses are gone in a moment; codex-task demo --keep leaves them up.');
}

async function tellPlaces(task: TaskHandle, runId: string, line: DevLine, io: DemoTaskIo): Promise<void> {
  const { namespace, uiUrl } = line.temporal;
  const { url, username, password } = await task.listener();
  const page = uiUrl === null ? null : `${uiUrl}/namespaces/${namespace}/workflows/${task.taskId}/${runId}`;
  const events = `${url}/events`;
  if (page !== null) io.tick('History', page, { url: page });
  io.tick('Events', `curl -N -u ${username}:${password} ${events}`, { url: events });
}

/** On a Temporal of the caller's a task that was broken off would wait for a worker for ever. */
async function endTask(task: TaskHandle): Promise<void> {
  if ((await task.describe()).status.name !== 'RUNNING') return;
  await task.cancel();
  const ended = task.result().catch(() => undefined);
  await untilAborted(ended, AbortSignal.timeout(CANCEL_MS));
}
