import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from '../async/within.js';
import { TaskError } from '../errors.js';
import { isAlive, startTimeOf, type ProcessIdentity } from '../process/process-identity.js';

export interface BoundProcessOptions {
  /** Names its pid file in `folder`. */
  name: string;
  command: string;
  args: readonly string[];
  /** Made if need be, 0700. */
  folder: string;
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdio: StdioOptions;
  /** Milliseconds between SIGTERM and SIGKILL. */
  stopMs: number;
}

export interface BoundProcess {
  pid: number;
  child: ChildProcess;
  /** Settles with how it ended. */
  exited: Promise<string>;
  /** SIGTERM, after `stopMs` SIGKILL to its group; returns when it is gone. */
  stop: () => Promise<void>;
}

/**
 * Starts a process that lives as long as this one at most. Where `setpriv` can, the kernel ends it when its
 * parent dies in whatever way; else the next start on the same folder does, by process id and start time. It has
 * a process group of its own, so that Ctrl-C leaves the order of stopping to us.
 * @throws TaskError `Unavailable` when it cannot be started
 */
export async function startBoundProcess(options: BoundProcessOptions): Promise<BoundProcess> {
  const { name, folder, cwd, env, stdio, stopMs } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await endLeftover(folder, name, stopMs);
  const [command, ...args] = await diesWithParent([options.command, ...options.args]);
  const child = spawn(command, args, { cwd, env, detached: true, stdio });
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const { pid } = child;
  if (pid === undefined) throw new TaskError('Unavailable', `${name} cannot be started: ${await exited}`);
  const startTime = await startTimeOf(pid);
  const identity: Partial<ProcessIdentity> = { pid, ...(startTime !== undefined && { startTime }) };
  await writeFile(pidFile(folder, name), JSON.stringify(identity), { mode: 0o600 });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) await endProcess(pid, exited, stopMs);
    await rm(pidFile(folder, name), { force: true });
  };
  return { pid, child, exited, stop };
}

/** Ends the process `name` that an earlier owner of this folder left behind. */
export async function endLeftover(folder: string, name: string, stopMs: number): Promise<void> {
  const identity = parseIdentity(await readFile(pidFile(folder, name), 'utf8').catch(() => ''));
  if (identity && (await isAlive(identity))) await endProcess(identity.pid, untilGone(identity), stopMs);
  await rm(pidFile(folder, name), { force: true });
}

const PROBE_MS = 25;

const pidFile = (folder: string, name: string) => join(folder, `${name}.pid`);

function parseIdentity(text: string): ProcessIdentity | null {
  try {
    const { pid, startTime } = JSON.parse(text) as Partial<Record<'pid' | 'startTime', unknown>>;
    if (typeof pid !== 'number' || typeof startTime !== 'number' || pid <= 1) return null;
    return { pid, startTime };
  } catch {
    return null;
  }
}

async function endProcess(pid: number, gone: Promise<unknown>, stopMs: number): Promise<void> {
  if (!kill(pid, 'SIGTERM')) return;
  const isGone = gone.then(() => true);
  if (await within(stopMs, isGone)) return;
  kill(-pid, 'SIGKILL');
  await gone;
}

function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

async function untilGone(identity: ProcessIdentity): Promise<void> {
  while (await isAlive(identity)) await sleep(PROBE_MS);
}

type CommandLine = readonly [string, ...string[]];

const DEATH_SIGNAL: CommandLine = ['setpriv', '--pdeathsig', 'TERM', '--'];

let deathSignalWorks: Promise<boolean> | undefined;

async function diesWithParent(command: CommandLine): Promise<CommandLine> {
  deathSignalWorks ??= tryDeathSignal();
  return (await deathSignalWorks) ? [...DEATH_SIGNAL, ...command] : command;
}

function tryDeathSignal(): Promise<boolean> {
  if (process.platform !== 'linux') return Promise.resolve(false);
  const [command, ...args] = DEATH_SIGNAL;
  return new Promise((resolve) => {
    const probe = spawn(command, [...args, 'true'], { stdio: 'ignore' });
    probe.once('error', () => resolve(false));
    probe.once('exit', (code) => resolve(code === 0));
  });
}
