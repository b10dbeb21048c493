import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstToSettle } from '../async/first-to-settle.js';
import { orAborted } from '../async/abort.js';
import { reasonOf, TaskError } from '../errors.js';
import { startBoundProcess, type BoundProcess } from './bound-process.js';
import { packageRoot } from './package-root.js';
import { timeLimit } from '../async/time-limit.js';

/** How `codex-task worker` is run. */
export const workerCommand = [
  process.execPath,
  join(packageRoot, 'lib', 'cli', 'main.js'),
  'worker',
  '--json',
] as const;

/** The first line a worker prints with `--json`. */
export interface WorkerReady {
  workerPid: number;
  hostId: string;
  listenerUrl: string;
}

export interface WorkerProcessOptions {
  command: readonly [string, ...string[]];
  /** Holds its pid file. */
  folder: string;
  env: NodeJS.ProcessEnv;
  /** Gets a line when it ended and when it is back. */
  say: (line: string) => void;
  /** Ends the wait for its first start. */
  signal: AbortSignal;
}

export interface WorkerProcess {
  ready: WorkerReady;
  /** SIGTERM, after 10 s SIGKILL; it is not started again. False unless it exited normally by itself. */
  stop: () => Promise<boolean>;
}

/**
 * Starts the worker, and starts it again whenever it ends until it is stopped.
 * @throws TaskError `Unavailable` when it ends three times before it was ever ready
 */
export async function keepWorkerRunning(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const first = await startWithBackoff(options, FIRST_TRIES);
  const stopping = new AbortController();
  const kept = keep(first, { ...options, signal: stopping.signal });
  return {
    ready: first.ready,
    stop: async () => {
      stopping.abort();
      return kept;
    },
  };
}

const FIRST_TRIES = 3;
const READY_MS = 120_000;
const STOP_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

interface RunningWorker {
  ready: WorkerReady;
  exited: Promise<string>;
  stop: () => Promise<void>;
}

async function keep(first: RunningWorker, options: WorkerProcessOptions): Promise<boolean> {
  const { signal, say } = options;
  for (let worker = first; ;) {
    const ended = (await orAborted(worker.exited, signal)) ?? 'stopped';
    await worker.stop();
    if (signal.aborted) return (await worker.exited) === 'exit code 0';
    say(`worker: process ${worker.ready.workerPid} ended (${ended}), starting it again`);
    try {
      worker = await startWithBackoff(options, Infinity);
    } catch {
      // Retries until stopped.
      return false;
    }
    say(`worker: process ${worker.ready.workerPid} is ready`);
  }
}

async function startWithBackoff(options: WorkerProcessOptions, tries: number): Promise<RunningWorker> {
  let pauseMs = FIRST_PAUSE_MS;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(options);
    } catch (error) {
      if (options.signal.aborted || attempt >= tries) throw error;
      options.say(`${reasonOf(error)}; next try in ${pauseMs / 1000} s`);
    }
    await sleep(pauseMs, undefined, { signal: options.signal });
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }
}

async function start({ command, folder, env, signal }: WorkerProcessOptions): Promise<RunningWorker> {
  signal.throwIfAborted();
  const [executable, ...args] = command;
  const worker = await startBoundProcess({
    name: 'worker',
    command: executable,
    args,
    folder,
    cwd: process.cwd(),
    env,
    // Its log lines are ours: they continue even if this process is gone.
    stdio: ['ignore', 'pipe', 'inherit'],
    stopMs: STOP_MS,
  });
  try {
    return { ready: await readReady(worker, signal), exited: worker.exited, stop: worker.stop };
  } catch (error) {
    await worker.stop();
    throw error;
  }
}

/**
 * What a worker says once it is ready.
 * @throws TaskError `Unavailable` when it ends before; the signal's reason when aborted
 */
export async function readReady(
  { child, exited }: Pick<BoundProcess, 'child' | 'exited'>,
  signal: AbortSignal,
): Promise<WorkerReady> {
  return firstToSettle(
    [
      (over) => firstLine(child.stdout, timeLimit(READY_MS, over)),
      async () => {
        const how = await exited;
        throw new TaskError('Unavailable', `The worker does not start: ${how}; its last lines above say why`);
      },
    ],
    signal,
  );
}

async function firstLine(stdout: NodeJS.ReadableStream | null, deadline: AbortSignal): Promise<WorkerReady> {
  if (!stdout) throw new TaskError('Unavailable', 'The worker has no output');
  const lines = createInterface({ input: stdout });
  const [line] = (await once(lines, 'line', { signal: deadline })) as [string];
  lines.close();
  // What may come after it must not fill the pipe.
  stdout.resume();
  return parseReady(line);
}

function parseReady(line: string): WorkerReady {
  try {
    const { workerPid, hostId, listenerUrl } = JSON.parse(line) as Partial<WorkerReady>;
    if (typeof workerPid === 'number' && typeof hostId === 'string' && typeof listenerUrl === 'string') {
      return { workerPid, hostId, listenerUrl };
    }
  } catch {
    // Reported below.
  }
  throw new TaskError('Unavailable', `The worker's first line is not its ready line: ${line.slice(0, 200)}`);
}
