import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Client } from '@temporalio/client';
import { connectTemporal, createTaskClient, type TaskClient } from '../../src/client/index.js';
import type { DevLine } from '../../src/dev/dev-page.js';
import { readListenerSecret } from '../../src/listener-secret.js';
import { type Store } from '../../src/store/mongo.js';
import { endLeftovers, findLeftovers } from '../support/leftovers.js';
import { makeFolder } from '../support/folders.js';
import { startOAuthServer, type OAuthServer } from '../support/oauth-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import { mountSmallDisk, type SmallDisk } from './small-disk.js';
import { watchSubscribers, type Subscribers } from './subscribers.js';
import { openStore } from '../../src/store/open-store.js';

/** The servers of `dev`, and a worker that reaches them over ways that can be cut and starts again when it ends. */
export interface ChaosStack {
  readonly dataDir: string;
  readonly client: TaskClient;
  readonly temporal: Client;
  readonly store: Store;
  readonly oauth: OAuthServer;
  readonly ways: { readonly temporal: TcpProxy; readonly database: TcpProxy };
  /** Null: this machine mounts none. */
  readonly disk: SmallDisk | null;
  readonly subscribers: Subscribers;
  /** The worker that runs now; null between two. */
  workerPid(): number | null;
  killWorker(): void;
  leaseTtlMs(): number;
  /** Has leases live so long, by another worker when the one that runs has another setting; no task may run. */
  useLeaseTtl(ms: number): Promise<void>;
  /** What workers wrote to stderr, newest last. */
  readonly log: readonly string[];
  ready(): Promise<void>;
  close(): Promise<void>;
}

/** @param main the command line of a built package */
export async function startChaosStack(main: string): Promise<ChaosStack> {
  const folder = await makeFolder();
  const dataDir = join(folder.path, 'data');
  await mkdir(dataDir, { mode: 0o700 });
  const disk = await mountSmallDisk(dataDir);
  const dev = spawn(process.execPath, [main, 'dev', '--ephemeral', '--json', '--no-worker'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(createInterface(dev.stdout), 'line')) as [string];
  const line = JSON.parse(text) as DevLine;
  const temporal = await connectTemporal({ ...process.env, ...line.env });
  const store = await openStore({ uri: line.mongodbUri, prefix: 'optio' });
  const oauth = await startOAuthServer({ endsWithTest: false });
  const [host = '', port = ''] = line.temporal.address.split(':');
  const uri = /^mongodb:\/\/([^/]+)(\/.*)$/.exec(line.mongodbUri);
  const ways = {
    temporal: await startTcpProxy({ host, port: Number(port) }),
    database: await startTcpProxy({ path: decodeURIComponent(uri?.[1] ?? '') }),
  };
  const log: string[] = [];
  const listenerSecret = await readListenerSecret(line.dataDir);
  const subscribers = watchSubscribers(line.listenerUrl);
  const worker = keepWorker(
    main,
    {
      ...process.env,
      ...line.env,
      ...oauth.env,
      TEMPORAL_ADDRESS: ways.temporal.address,
      MONGODB_URI: `mongodb://${ways.database.address}${uri?.[2] ?? '/codex_task'}`,
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_LISTENER_SECRET: listenerSecret,
      CODEX_TASK_MIN_FREE_BYTES: String(1 << 20),
    },
    log,
    () => subscribers.began(),
  );
  const ready = async () =>
    void (await until(
      'a ready worker',
      async () => (await fetch(`${line.listenerUrl}/ready`).catch(() => null))?.ok,
      180_000,
    ));
  return {
    dataDir,
    client: createTaskClient({ client: temporal.client, taskQueue: 'codex-tasks', listenerSecret }),
    temporal: temporal.client,
    store,
    oauth,
    ways,
    disk,
    subscribers,
    workerPid: worker.pid,
    killWorker() {
      if (worker.kill('SIGKILL')) subscribers.killed();
    },
    leaseTtlMs: worker.leaseTtlMs,
    async useLeaseTtl(ms) {
      if (ms === worker.leaseTtlMs()) return;
      await worker.restart(ms);
      await ready();
    },
    log,
    ready,
    async close() {
      subscribers.close();
      await worker.stop();
      await endLeftovers(await findLeftovers([dataDir]));
      await oauth.close();
      await store.close();
      await temporal.close();
      await Promise.all([ways.temporal.close(), ways.database.close()]);
      const gone = once(dev, 'exit');
      if (dev.exitCode === null && dev.kill('SIGTERM')) await gone;
      await disk?.unmount();
      await folder.remove();
    },
  };
}

const USUAL_TTL_MS = 60_000;
/** A worker that cannot even start, as on a full disk, is not started without a pause. */
const RESTART_MS = 100;
const QUICK_END_MS = 1_000;

function keepWorker(main: string, env: NodeJS.ProcessEnv, log: string[], began: () => void) {
  let child: ChildProcess;
  let stopping = false;
  let ttlMs = USUAL_TTL_MS;
  const start = () => {
    const startedAt = performance.now();
    began();
    child = spawn(process.execPath, [main, 'worker', '--json'], {
      env: { ...env, CODEX_TASK_LEASE_TTL: String(ttlMs) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child.stderr?.on('data', (text: Buffer) => {
      log.push(text.toString());
      if (log.length > 1_000) log.shift();
    });
    child.once('exit', () => {
      const pauseMs = performance.now() - startedAt < QUICK_END_MS ? RESTART_MS : 0;
      const next = () => void (stopping || start());
      if (pauseMs > 0) setTimeout(next, pauseMs);
      else next();
    });
  };
  start();
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const end = async () => {
    if (isOver()) return;
    const gone = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await gone;
  };
  return {
    pid: () => (isOver() ? null : (child.pid ?? null)),
    leaseTtlMs: () => ttlMs,
    kill: (name: NodeJS.Signals) => !isOver() && child.kill(name),
    async restart(ms: number) {
      ttlMs = ms;
      await end();
    },
    async stop() {
      stopping = true;
      await end();
    },
  };
}
