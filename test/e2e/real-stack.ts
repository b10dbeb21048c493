import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { connectTemporal, createTaskClient, type TaskClient } from '../../src/client/index.js';
import type { DevLine } from '../../src/dev/dev-page.js';
import { startModelServer, type ModelScript, type ModelServer } from '../../src/dev/model-server.js';
import { readListenerSecret } from '../../src/listener-secret.js';
import { type Store } from '../../src/store/mongo.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { sharedNamespace, type Placement } from '../support/temporal.js';
import { until } from '../support/until.js';
import { openStore } from '../../src/store/open-store.js';

/**
 * What `codex-task dev --ephemeral` starts where Temporal is given, with a client, the database and a model of the
 * test's own.
 */
export interface RealStack {
  /** Ends the worker; resolves when the one that `dev` starts in its place is ready. */
  endWorker(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** The same, but resolves as soon as the worker has the signal; `isBack` does when the next one is ready. */
  signalWorker(signal: 'SIGKILL' | 'SIGTERM'): Promise<{ isBack: () => Promise<void> }>;
  readonly line: DevLine;
  /** Where the package is built. */
  readonly folder: string;
  readonly client: TaskClient;
  readonly temporal: Awaited<ReturnType<typeof connectTemporal>>;
  readonly store: Store;
  readonly model: ModelServer;
  listenerSecret(): Promise<string>;
  /** What `dev` and its worker logged so far. */
  said(): string;
  /** What the model answers from now on. */
  play(script: ModelScript): void;
  close(): Promise<void>;
}

/** One stack for all tests of a file; what it has is there once the first of them begins. */
export function useRealStack(
  env: () => NodeJS.ProcessEnv = () => ({}),
  options: readonly string[] = [],
  temporal: () => Promise<Placement> = sharedNamespace,
): RealStack {
  const stack = {} as RealStack;
  const start = async () => void Object.assign(stack, await startRealStack(env(), options, await temporal()));
  beforeAll(start, 300_000);
  afterAll(() => stack.close());
  return stack;
}

async function startRealStack(
  env: NodeJS.ProcessEnv,
  options: readonly string[],
  { address, namespace }: Placement,
): Promise<RealStack> {
  const folder = await makeFolder();
  await buildPackage(folder.path);
  let script: ModelScript = () => [];
  const model = await startModelServer({ script: (request, n) => script(request, n) });
  const dev = spawn(
    process.execPath,
    [join(folder.path, 'lib/cli/main.js'), 'dev', '--ephemeral', '--json', ...options],
    {
      env: { ...process.env, TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const said: string[] = [];
  dev.stderr.on('data', (text: Buffer) => said.push(text.toString()));
  const first = once(createInterface(dev.stdout), 'line') as Promise<[string]>;
  const over = once(dev, 'exit').then(() => Promise.reject(new Error(`dev ended: ${said.join('')}`)));
  over.catch(() => undefined);
  const [text] = await Promise.race([first, over]);
  const line = JSON.parse(text) as DevLine;
  const temporal = await connectTemporal({ ...process.env, ...line.env, ...env });
  const store = await openStore({ uri: line.mongodbUri, prefix: 'optio' });
  const listenerSecret = await readListenerSecret(line.dataDir);
  const ready = async () => {
    const answer = await fetch(`${line.listenerUrl}/ready`).catch(() => null);
    return answer?.ok === true;
  };
  const workerPid = async () => {
    const text = await readFile(join(line.dataDir, 'dev', 'worker.pid'), 'utf8');
    return (JSON.parse(text) as { pid: number }).pid;
  };
  const signalWorker: RealStack['signalWorker'] = async (signal) => {
    const pid = await workerPid();
    process.kill(pid, signal);
    return {
      async isBack() {
        await until('another worker', async () => (await workerPid().catch(() => pid)) !== pid, 60_000);
        await until('a ready worker', ready, 60_000);
      },
    };
  };
  return {
    signalWorker,
    endWorker: async (signal) => (await signalWorker(signal)).isBack(),
    line,
    folder: folder.path,
    temporal,
    store,
    model,
    listenerSecret: () => Promise.resolve(listenerSecret),
    said: () => said.join(''),
    client: createTaskClient({ client: temporal.client, taskQueue: 'codex-tasks', listenerSecret }),
    play: (next) => (script = next),
    async close() {
      await store.close();
      await temporal.close();
      const gone = once(dev, 'exit');
      if (dev.exitCode === null && dev.kill('SIGTERM')) await gone;
      await model.close();
      await folder.remove();
    },
  };
}
