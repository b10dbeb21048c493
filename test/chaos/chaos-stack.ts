import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connectTemporal, createTaskClient, type TaskClient } from '../../src/client/index.js';
import type { DevLine } from '../../src/dev/dev-page.js';
import { readListenerSecret } from '../../src/listener-secret.js';
import { openStore, type Store } from '../../src/store/mongo.js';
import { buildPackage } from '../support/built-package.js';
import { makeFolder } from '../support/folders.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

/** The servers of `dev`, and a worker that reaches them over ways that can be cut and starts again when it ends. */
export interface ChaosStack {
  readonly dataDir: string;
  readonly client: TaskClient;
  readonly store: Store;
  readonly ways: { readonly temporal: TcpProxy; readonly database: TcpProxy };
  /** The worker that runs now; null between two. */
  workerPid(): number | null;
  /** What workers wrote to stderr, newest last. */
  readonly log: readonly string[];
  ready(): Promise<void>;
  close(): Promise<void>;
}

export async function startChaosStack(): Promise<ChaosStack> {
  const folder = await makeFolder();
  await buildPackage(folder.path);
  const main = join(folder.path, 'lib/cli/main.js');
  const dev = spawn(process.execPath, [main, 'dev', '--ephemeral', '--json', '--no-worker'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(createInterface(dev.stdout), 'line')) as [string];
  const line = JSON.parse(text) as DevLine;
  const temporal = await connectTemporal({ ...process.env, ...line.env });
  const store = await openStore({ uri: line.mongodbUri, prefix: 'optio' });
  const [host = '', port = ''] = line.temporal.address.split(':');
  const uri = /^mongodb:\/\/([^/]+)(\/.*)$/.exec(line.mongodbUri);
  const ways = {
    temporal: await startTcpProxy({ host, port: Number(port) }),
    database: await startTcpProxy({ path: decodeURIComponent(uri?.[1] ?? '') }),
  };
  const log: string[] = [];
  const worker = keepWorker(
    main,
    {
      ...process.env,
      ...line.env,
      TEMPORAL_ADDRESS: ways.temporal.address,
      MONGODB_URI: `mongodb://${ways.database.address}${uri?.[2] ?? '/codex_task'}`,
    },
    log,
  );
  return {
    dataDir: line.dataDir,
    client: createTaskClient({
      client: temporal.client,
      taskQueue: 'codex-tasks',
      listenerSecret: await readListenerSecret(line.dataDir),
    }),
    store,
    ways,
    workerPid: worker.pid,
    log,
    ready: async () =>
      void (await until(
        'a ready worker',
        async () => (await fetch(`${line.listenerUrl}/ready`).catch(() => null))?.ok,
        60_000,
      )),
    async close() {
      await worker.stop();
      await store.close();
      await temporal.close();
      await Promise.all([ways.temporal.close(), ways.database.close()]);
      const gone = once(dev, 'exit');
      if (dev.exitCode === null && dev.kill('SIGTERM')) await gone;
      await folder.remove();
    },
  };
}

function keepWorker(main: string, env: NodeJS.ProcessEnv, log: string[]) {
  let child: ChildProcess;
  let stopping = false;
  const start = () => {
    child = spawn(process.execPath, [main, 'worker', '--json'], { env, stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr?.on('data', (text: Buffer) => {
      log.push(text.toString());
      if (log.length > 500) log.shift();
    });
    child.once('exit', () => {
      if (!stopping) start();
    });
  };
  start();
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: () => (isOver() ? null : (child.pid ?? null)),
    async stop() {
      stopping = true;
      if (isOver()) return;
      const gone = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
