import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskError } from '../errors.js';
import {
  descendantsOf,
  isAlive,
  listProcesses,
  livingIn,
  type ProcessEntry,
} from '../process/process-identity.js';
import { startBoundProcess, type BoundProcess } from './bound-process.js';
import { removeEphemeral } from './ephemeral-folder.js';
import { readReady, workerCommand, type WorkerReady } from './worker-process.js';
import { timeLimit } from '../async/time-limit.js';

/** A worker with a data folder of its own. */
export interface FleetHost extends WorkerReady {
  readonly dataDir: string;
  /** Simulates the loss of a machine: kills worker, codex and guard at once and removes the folder. */
  burnDown(): Promise<{ killed: number[] }>;
  /** Stops it gracefully, within 10 s, and removes its folder. */
  close(): Promise<void>;
}

const STOP_MS = 10_000;
const KILL_MS = 5_000;
const PROBE_MS = 20;

/**
 * Starts one in `<parent>/<name>`, a folder that is not there yet. `env` is its environment but for its place.
 * @throws TaskError `Unavailable` when it is not ready in time
 */
export async function startFleetHost(options: {
  name: string;
  parent: string;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}): Promise<FleetHost> {
  const { name, parent, env, signal } = options;
  const dataDir = join(parent, name);
  await mkdir(dataDir, { mode: 0o700 });
  const [command, ...args] = workerCommand;
  const worker = await startBoundProcess({
    name,
    command,
    args,
    folder: join(parent, 'hosts'),
    cwd: process.cwd(),
    env: {
      ...env,
      CODEX_TASK_DATA_DIR: dataDir,
      CODEX_TASK_LISTEN: '127.0.0.1:0',
      CODEX_TASK_PUBLIC_URL: '',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    stopMs: STOP_MS,
  });
  const burnDown = async () => {
    const killed = await killAll(worker, dataDir);
    await worker.stop();
    await removeEphemeral(dataDir);
    return { killed };
  };
  try {
    const ready = await readReady(worker, signal);
    const close = async () => {
      await worker.stop();
      await burnDown();
    };
    return { ...ready, dataDir, burnDown, close };
  } catch (error) {
    await burnDown();
    throw error;
  }
}

/** The worker first, so that it does nothing about the death of the others; until nothing is left. */
async function killAll({ child, pid }: BoundProcess, dataDir: string): Promise<number[]> {
  const killed = new Set<number>();
  const found = new Map<number, ProcessEntry>();
  const deadline = Date.now() + KILL_MS;
  for (;;) {
    const running = await listProcesses();
    const roots = await livingIn(join(dataDir, 'tasks'), running);
    // Of a worker that is gone its children name another parent, but they are known by then.
    const below = isRunning(child) ? descendantsOf(pid, running) : [];
    for (const each of [...roots, ...below]) found.set(each.pid, each);
    if (isRunning(child)) {
      child.kill('SIGKILL');
      killed.add(pid);
      if (isRunning(child)) await once(child, 'exit', { signal: timeLimit(KILL_MS) });
    }
    let left = 0;
    for (const each of found.values()) {
      if (!(await isAlive(each))) continue;
      left += 1;
      if (kill(each.pid)) killed.add(each.pid);
    }
    if (left === 0 && (await livingIn(join(dataDir, 'tasks'), await listProcesses())).length === 0)
      return [...killed];
    if (Date.now() > deadline)
      throw new TaskError('HostUnfit', `Processes of ${dataDir} survive SIGKILL; see dmesg`);
    await sleep(PROBE_MS);
  }
}

const isRunning = ({ exitCode, signalCode }: BoundProcess['child']): boolean =>
  exitCode === null && signalCode === null;

function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}
