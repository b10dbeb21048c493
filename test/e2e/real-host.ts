import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { createTaskClient, type TaskHandle } from '../../src/client/index.js';
import { packageRoot } from '../../src/dev/package-root.js';
import { readDeadline, uptimeSeconds } from '../../src/process/deadline.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { quarantineOf } from '../../src/store/collections.js';
import { readQuarantined } from '../../src/store/quarantine.js';
import { insertSeed, readSeed } from '../../src/store/seeds.js';
import { testFolder } from '../support/folders.js';
import { endLeftovers, findLeftovers } from '../support/leftovers.js';
import { startMongoProxy, type MongoProxy } from '../support/mongo-proxy.js';
import type { OAuthServer } from '../support/oauth-server.js';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';
import type { RealStack } from './real-stack.js';

/** A real worker with a turn that does not end, and a token on its disk that the database has not. */
export interface RealHost {
  readonly task: TaskHandle;
  readonly mongo: MongoProxy;
  readonly temporal: TcpProxy;
  readonly worker: RealWorker;
  /** Codexes of this host, seen from outside, and whether a guard is to stop each in time. */
  codexes(): Promise<{ alive: number; isWatched: boolean }>;
  /** Where the newest token is: `seed`, `quarantine`, `disk`. */
  places(): Promise<string[]>;
  /** Codex has refreshed its tokens just now. */
  rotate(): Promise<void>;
  /** Starts another worker on the folder. */
  start(): Promise<RealWorker>;
}

export interface RealWorker {
  signal(name: NodeJS.Signals): void;
  readonly exited: Promise<number | null>;
  /** Whether its log has this. */
  said(text: string): boolean;
}

/** Starts one whose codex has a turn, and lets that codex refresh its tokens. */
export async function startRealHost(
  stack: RealStack,
  oauth: OAuthServer,
  env: NodeJS.ProcessEnv,
): Promise<RealHost> {
  const dataDir = join(await testFolder(), 'data');
  const { CODEX_TASK_PUBLIC_URL: _, ...shared } = stack.line.env;
  const mongo = await startMongoProxy(shared['MONGODB_URI']!);
  const [host = '', port] = shared['TEMPORAL_ADDRESS']!.split(':');
  const temporal = await startTcpProxy({ host, port: Number(port) });
  onTestFinished(() => temporal.close());
  const taskQueue = `stop-${randomUUID()}`;
  const listenerSecret = await stack.listenerSecret();
  const start = () =>
    startWorker(stack, {
      ...shared,
      ...oauth.env,
      MONGODB_URI: mongo.uri,
      TEMPORAL_ADDRESS: temporal.address,
      CODEX_TASK_CODEX_BIN: join(packageRoot, 'test/fakes/codex-program.mjs'),
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_LISTEN: '127.0.0.1:0',
      CODEX_TASK_LISTENER_SECRET: listenerSecret,
      CODEX_TASK_QUEUE: taskQueue,
      CODEX_TASK_LOG: 'info',
      CODEX_TASK_MIN_FREE_BYTES: '1',
      ...env,
    });
  onTestFinished(async () => endLeftovers(await findLeftovers([dataDir])));
  const worker = await start();
  const pool = randomUUID();
  const seedId = await insertSeed(stack.store, { authJson: oauth.login(), pool });
  const client = createTaskClient({ client: stack.temporal.client, taskQueue, listenerSecret });
  const task = client.handle(`stop-${randomUUID()}`);
  await client.start(task.taskId, {
    mode: 'conversation',
    prompt: 'hold',
    credential: { pool },
    sandbox: { mode: 'danger-full-access' },
  });
  const { root, authJson } = taskFolder(dataDir, task.taskId);
  await until('a turn', async () => (await task.status().catch(() => null))?.state === 'running', 120_000);
  const newest = oauth.login();
  return {
    task,
    mongo,
    temporal,
    worker,
    start,
    async codexes() {
      const commands = await commandsOf(dataDir);
      const alive = commands.filter((each) => each.includes('app-server')).length;
      const guards = commands.filter((each) => each.includes('guard/main.js')).length;
      const deadlines = await Promise.all([readDeadline(root), readDeadline(dataDir)]);
      const leftS = Math.min(...deadlines.map((each) => (each ?? Infinity) - uptimeSeconds()));
      return { alive, isWatched: alive === 0 || (guards > 0 && leftS < 600) };
    },
    async places() {
      const places: string[] = [];
      if ((await readSeed(stack.store, seedId))?.authJson?.equals(newest)) places.push('seed');
      for (const { _id } of await quarantineOf(stack.store).find({ seedId }).toArray())
        if ((await readQuarantined(stack.store, _id.toHexString()))?.equals(newest))
          places.push('quarantine');
      if ((await readFile(authJson).catch(() => null))?.equals(newest)) places.push('disk');
      return places;
    },
    rotate: () => replace(authJson, newest),
  };
}

async function replace(path: string, bytes: Buffer): Promise<void> {
  await writeFile(`${path}.next`, bytes, { mode: 0o600 });
  await rename(`${path}.next`, path);
}

async function startWorker(stack: RealStack, env: NodeJS.ProcessEnv): Promise<RealWorker> {
  const command = [join(stack.folder, 'lib/cli/main.js'), 'worker', '--json'];
  const child = spawn(process.execPath, command, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  });
  const ended = exited.then(() => Promise.reject(new Error(`the worker ended: ${log}`)));
  ended.catch(() => undefined);
  await Promise.race([once(createInterface(child.stdout), 'line'), ended]);
  return { signal: (name) => void child.kill(name), exited, said: (text) => log.includes(text) };
}

async function commandsOf(dataDir: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return all.filter((each) => each.includes(dataDir));
}
