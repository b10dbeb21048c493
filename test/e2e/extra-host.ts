import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { listenerSecretFile } from '../../src/listener-secret.js';
import { isAlive, type ProcessIdentity } from '../../src/process/process-identity.js';
import { stopProcess } from '../../src/process/stop-process.js';
import { removeFolder } from '../../src/task-folder/remove-folder.js';
import { taskFolder } from '../../src/task-folder/task-folder.js';
import { makeFolder } from '../support/folders.js';
import { endLeftovers, findLeftovers } from '../support/leftovers.js';
import type { RealStack } from './real-stack.js';

/** A worker of its own data folder on a stack: a host of the fleet. */
export interface ExtraHost {
  readonly hostId: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly listenerUrl: string;
  log(): string;
  signal(name: NodeJS.Signals): void;
  /** The codex of a task here; null: none lives. */
  codexOf(taskId: string): Promise<ProcessIdentity | null>;
  /** Ids of the tasks that have a folder here. */
  tasks(): Promise<string[]>;
  /** Kills everything of it at once and removes its folder, as if the machine had burnt down. */
  burnDown(): Promise<void>;
  /** Ends it and removes its folder. */
  close(): Promise<void>;
}

/** Starts one; resolves when it is ready. `env` goes over that of the stack. */
export async function startHost(stack: RealStack, env: NodeJS.ProcessEnv = {}): Promise<ExtraHost> {
  const folder = await makeFolder();
  const dataDir = join(folder.path, 'data');
  const secret = (await readFile(listenerSecretFile(stack.line.dataDir), 'utf8')).trim();
  const { CODEX_TASK_PUBLIC_URL: _, ...shared } = stack.line.env;
  const child = spawn(process.execPath, [join(stack.folder, 'lib/cli/main.js'), 'worker', '--json'], {
    env: {
      ...process.env,
      ...shared,
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_LISTEN: '127.0.0.1:0',
      CODEX_TASK_LISTENER_SECRET: secret,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let log = '';
  child.stderr.on('data', (text: Buffer) => (log += text.toString()));
  const over = exited.then(() => Promise.reject(new Error(`the worker ended: ${log}`)));
  over.catch(() => undefined);
  const first = once(createInterface(child.stdout), 'line') as Promise<[string]>;
  const [text] = await Promise.race([first, over]);
  const { hostId, listenerUrl } = JSON.parse(text) as { hostId: string; listenerUrl: string };
  const signal = (name: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(name);
  };
  const tasks = () => readdir(join(dataDir, 'tasks')).catch(() => []);
  const codexOf = async (taskId: string) => {
    const record = await readFile(taskFolder(dataDir, taskId).processJson, 'utf8').catch(() => 'null');
    const identity = JSON.parse(record) as ProcessIdentity | null;
    return identity && (await isAlive(identity)) ? identity : null;
  };
  const killAll = async () => {
    signal('SIGKILL');
    await exited;
    for (const taskId of await tasks()) {
      const codex = await codexOf(taskId);
      const { codexHome, socket } = taskFolder(dataDir, taskId);
      if (codex) await stopProcess(codex, { codexHome, socketPath: socket, graceMs: 0, secondGraceMs: 0 });
    }
    await endLeftovers(await findLeftovers([dataDir]));
    await removeFolder(folder.path);
  };
  return {
    hostId,
    pid: child.pid!,
    dataDir,
    listenerUrl,
    log: () => log,
    signal,
    codexOf,
    tasks,
    burnDown: killAll,
    async close() {
      signal('SIGCONT');
      signal('SIGTERM');
      await exited;
      await killAll();
    },
  };
}
