import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { within } from '../async/within.js';
import { reasonOf, TaskError } from '../errors.js';
import { startTimeOf, type ProcessIdentity } from '../process/process-identity.js';
import { daemonSocketOf, removeSocketLeftovers } from '../process/socket-leftovers.js';
import { secretsOf } from './child-environment.js';
import { lastLines, openLog } from './codex-log.js';
import { placesOf } from './task-places.js';

export interface LaunchOptions {
  /** Codex's native binary. */
  binary: string;
  /** Codex starts next to it: programs that it starts by itself may load what lies in their working folder. */
  workDir: string;
  /** Becomes a symlink to codex's own socket in the temp dir. */
  socketPath: string;
  env: Record<string, string>;
  /** Takes codex's stdout and stderr; the one of the launch before stays next to it as `.old`. */
  logFile: string;
  /** Further arguments of `codex app-server`. */
  args?: readonly string[];
  /** Milliseconds until the socket must accept; default 20,000. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
  /** Awaited right after the spawn, so that whoever comes later finds the process. When it fails codex is killed. */
  onSpawned?: (process: ProcessIdentity) => Promise<void> | void;
}

export interface AppServer extends ProcessIdentity {
  socketPath: string;
  /** Resolves with how it ended; absent when another process started it. */
  exited?: Promise<string>;
}

/**
 * Starts an app-server that outlives this process, in a session of its own, and returns when its socket
 * accepts. On any failure nothing of it is left running.
 * @throws TaskError `CodexFailed` with its last lines when it ends or does not listen in time; `HostUnfit`
 * when it cannot be started; the signal's reason when aborted
 */
export async function launchAppServer(options: LaunchOptions): Promise<AppServer> {
  const { socketPath, timeoutMs = 20_000, signal } = options;
  signal?.throwIfAborted();
  if (await accepts(socketPath))
    throw new TaskError('CodexFailed', `Another codex listens on ${socketPath}; stop it first`);
  await removeSocketLeftovers(socketPath);
  const { child, exited, pid } = await spawnDetached(options);
  try {
    const startTime = await startTimeOf(pid);
    // Already gone: the wait below tells why.
    if (startTime !== undefined) await options.onSpawned?.({ pid, startTime });
    const deadline = performance.now() + timeoutMs;
    while (!(await accepts(socketPath))) {
      signal?.throwIfAborted();
      if (child.exitCode !== null || child.signalCode !== null)
        throw await startFailure(options, ended(child));
      if (performance.now() > deadline)
        throw await startFailure(options, `does not listen after ${timeoutMs} ms`);
      await within(POLL_MS, exited);
    }
    if (startTime === undefined) throw await startFailure(options, ended(child));
    return { pid, startTime, socketPath, exited: exited.then(() => ended(child)) };
  } catch (error) {
    killGroup(pid, child);
    await within(KILL_WAIT_MS, exited);
    await removeSocketLeftovers(socketPath);
    throw error;
  }
}

const POLL_MS = 10;
const KILL_WAIT_MS = 2_000;
const REPORTED_LINES = 10;

async function spawnDetached(options: LaunchOptions) {
  const { binary, args = [], socketPath, workDir, env } = options;
  const { user } = placesOf(workDir);
  const log = await openLog(options.logFile);
  try {
    const child = spawn(binary, ['app-server', '--listen', `unix://${socketPath}`, ...args], {
      cwd: existsSync(user) ? user : dirname(workDir),
      env,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const failed = new Promise<Error>((resolve) => child.once('error', resolve));
    if (child.pid === undefined)
      throw new TaskError('HostUnfit', `codex at ${binary} cannot be started: ${reasonOf(await failed)}`);
    child.unref();
    return { child, exited, pid: child.pid };
  } finally {
    await log.close();
  }
}

async function accepts(socketPath: string): Promise<boolean> {
  const socket = await daemonSocketOf(socketPath);
  if (socket === undefined) return false;
  return new Promise((resolve) => {
    const connection = createConnection(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}

const ended = ({ exitCode, signalCode }: ChildProcess) =>
  signalCode === null ? `ended with exit code ${exitCode}` : `was ended by ${signalCode}`;

async function startFailure({ logFile, env }: LaunchOptions, what: string): Promise<TaskError> {
  const lines = await lastLines(logFile, REPORTED_LINES, secretsOf(env));
  return new TaskError('CodexFailed', `codex app-server ${what}: ${lines || 'it wrote nothing'}`);
}

function killGroup(pid: number, child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The process ended by itself.
  }
}
