import { connectTemporal, createTaskClient, type TaskClient, type TaskHandle } from '../../client/index.js';
import { readConfig } from '../../config.js';
import type { DevLine } from '../../dev/dev-page.js';
import type { ModelScript } from '../../dev/model-server.js';
import { readListenerSecret } from '../../listener-secret.js';
import { type Store } from '../../store/mongo.js';
import { purgeSeed } from '../../store/remove-seed.js';
import { printable, type Output } from '../output.js';
import { abortable } from '../../async/abort.js';
import { chooseModel, DEMO_POOL, type DemoModel } from './demo-model.js';
import { timeLimit } from '../../async/time-limit.js';
import { openStore } from '../../store/open-store.js';
import type { Tick, Closer } from './demo-io.js';

export interface DemoIo {
  output: Output;
  signal: AbortSignal;
  tick: Tick;
  keep: boolean;
  closers: Closer[];
}

/** What a demonstration works with on its stack. */
export interface Demo {
  readonly store: Store;
  readonly tasks: TaskClient;
  readonly model: DemoModel;
  /** The environment of every command and worker against the stack. */
  readonly env: NodeJS.ProcessEnv;
  readonly listenerSecret: string;
}

const CANCEL_MS = 10_000;

/** Connects to a stack, and says which model and which seed the demonstration has. */
export async function openDemo(
  line: DevLine,
  given: NodeJS.ProcessEnv,
  script: ModelScript,
  { tick, closers }: DemoIo,
): Promise<Demo> {
  // The line leaves passwords out, so what it does not name comes from the caller's environment.
  const env = { ...given, ...line.env };
  const config = readConfig(env);
  const { mongodbUri: uri, mongoPrefix: prefix, seedKeys } = config;
  const store = await openStore({ uri, prefix, seedKeys });
  closers.unshift(['MongoDB', () => store.close()]);
  const link = await connectTemporal(env);
  closers.unshift(['Temporal', () => link.close()]);
  const model = await chooseModel(env, store, script);
  closers.unshift(['model', () => model.close()]);
  tick('Model', model.says);
  const { seedId } = model;
  if (seedId !== null) {
    tick('Seed', `${seedId} in pool ${DEMO_POOL}`, { seedId, pool: DEMO_POOL });
    closers.unshift(['seed', () => purgeSeed(store, seedId, { force: true })]);
  }
  const listenerSecret = config.listenerSecret ?? (await readListenerSecret(line.dataDir));
  const { client } = link;
  const tasks = createTaskClient({ client, taskQueue: config.taskQueue, listenerSecret });
  return { store, tasks, model, env, listenerSecret };
}

/** On a Temporal of the caller's a task that was broken off would wait for a worker forever. */
export async function endTask(task: TaskHandle): Promise<void> {
  if ((await task.describe()).status.name !== 'RUNNING') return;
  await task.cancel();
  const ended = task.result().catch(() => undefined);
  await abortable(ended, timeLimit(CANCEL_MS));
}

/** Says what a task was not given or left out, each with what to do. */
export async function tickWarnings(task: Pick<TaskHandle, 'status'>, tick: Tick): Promise<void> {
  const { warnings } = await task.status();
  for (const warning of warnings) tick('Warning', printable(warning), { warning });
}

/** The page of a run in Temporal's UI; null: there is no UI. */
export function historyUrl({ temporal }: DevLine, { taskId }: TaskHandle, runId: string): string | null {
  const { namespace, uiUrl } = temporal;
  return uiUrl === null
    ? null
    : `${uiUrl}/namespaces/${namespace}/workflows/${encodeURIComponent(taskId)}/${runId}`;
}

/** How a task's events are read with curl, while its host has them. */
export async function eventsCommand(task: TaskHandle): Promise<{ url: string; command: string }> {
  const { url, username, password } = await task.listener();
  return { url: `${url}/events`, command: `curl -N -u ${username}:${password} ${url}/events` };
}
