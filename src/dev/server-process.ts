import { open, readFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../async/pause.js';
import { firstToSettle } from '../async/first-to-settle.js';
import { TaskError } from '../errors.js';
import { endLeftover, startBoundProcess } from './bound-process.js';
import { timeLimit } from '../async/time-limit.js';

export interface ServerProcessOptions {
  /** Names its pid file and its log in `folder`. */
  name: string;
  command: string;
  args: readonly string[];
  folder: string;
  env: NodeJS.ProcessEnv;
}

export interface ServerProcess {
  pid: number;
  /** Settles when it ends, with how and what its log says last. */
  ended: Promise<string>;
  /** Waits for `condition`. @throws TaskError `Unavailable` when the process ends or a minute passes before */
  until: (condition: Condition, signal: AbortSignal) => Promise<void>;
  /** SIGTERM, after 3 s SIGKILL; returns when it is gone. */
  stop: () => Promise<void>;
}

/** Tells whether what is waited for is there; asked again after 25 ms, even when it throws. */
export type Condition = () => Promise<boolean>;

/** Starts a server as a bound process; what it prints goes to a log in its folder, its stdin stays open. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { name, folder, env } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const logFile = join(folder, `${name}.log`);
  const log = await open(logFile, 'w', 0o600);
  try {
    const server = await startBoundProcess({
      ...options,
      cwd: folder,
      env: scrubbed(env),
      stdio: ['pipe', log.fd, log.fd],
      stopMs: STOP_MS,
    });
    // It is never written to: a broken pipe only tells what `exited` tells.
    server.child.stdin?.on('error', () => undefined);
    const ended = server.exited.then(async (how) => `${how}${await closingReport(logFile)}`);
    return {
      pid: server.pid,
      ended,
      until: (condition, signal) => until(name, ended, condition, signal),
      stop: server.stop,
    };
  } finally {
    await log.close();
  }
}

/** Ends the server `name` that an earlier owner of this folder left behind. */
export const endLeftoverServer = (folder: string, name: string): Promise<void> =>
  endLeftover(folder, name, STOP_MS);

const START_MS = 60_000;
const STOP_MS = 3_000;
const PROBE_MS = 25;

async function until(
  name: string,
  ended: Promise<string>,
  condition: Condition,
  signal: AbortSignal,
): Promise<void> {
  const poll = async (over: AbortSignal) => {
    const stop = timeLimit(START_MS, over);
    while (!stop.aborted) {
      if (await condition().catch(() => false)) return null;
      await pause(PROBE_MS, stop);
    }
    return `no answer after ${START_MS / 1000} s`;
  };
  const why = await firstToSettle([poll, () => ended], signal);
  signal.throwIfAborted();
  if (why !== null) throw new TaskError('Unavailable', `${name} does not start: ${why}`);
}

/** Servers need no more than this; keys and passwords of the caller stay out of them. */
function scrubbed(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR', 'CODEX_TASK_TEST_RUN'];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

async function closingReport(logFile: string): Promise<string> {
  const text = (await readFile(logFile, 'utf8').catch(() => '')).trim();
  return text === '' ? '' : `: ${text.split('\n').slice(-3).join(' | ').slice(-600)} (${logFile})`;
}
