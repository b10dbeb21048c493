import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TaskError } from '../errors.js';
import {
  descendantsOf,
  isAlive,
  listProcesses,
  livingIn,
  sessionMembers,
  startTimeOf,
  type ProcessEntry,
  type ProcessIdentity,
} from './process-identity.js';
import { removeSocketLeftovers } from './socket-leftovers.js';

export interface StopOptions {
  /** `<task folder>/home/.codex`: what was started with its home in that folder belongs to the process. */
  codexHome: string;
  /** The socket whose leftovers are removed. */
  socketPath: string;
  /** Milliseconds after the first SIGTERM, and after the second; default 5,000 and 1,000. */
  graceMs?: number;
  secondGraceMs?: number;
  /** Aborted, it stops waiting and leaves the rest running. */
  signal?: AbortSignal | undefined;
}

/** What ended the process; `gone`: it was not there any more. */
export type StopOutcome = 'gone' | 'terminated' | 'killed';

/**
 * Ends a codex by signals: SIGTERM, after a while again (with an approval open codex ignores the first
 * for long, and ends at the second), then SIGKILL. Whatever it left behind is killed with it: its session and
 * group, its children, and what moved to a session of its own. A pid that another process has now is never
 * signalled. Idempotent; takes at most the two waits and 2 s.
 * @throws TaskError `HostUnfit` when something survives SIGKILL; the signal's reason when aborted
 */
export async function stopProcess(target: ProcessIdentity, options: StopOptions): Promise<StopOutcome> {
  const { graceMs = 5_000, secondGraceMs = 1_000, signal, socketPath } = options;
  const known: ProcessEntry[] = [];
  let outcome: StopOutcome = 'gone';
  for (const waitMs of [graceMs, secondGraceMs]) {
    known.push(...(await belongingsByPid(target)));
    if (!(await send('SIGTERM', target))) break;
    outcome = 'terminated';
    await ended(target, waitMs, signal);
  }
  known.push(...(await belongingsByPid(target)));
  if (await send('SIGKILL', target)) outcome = 'killed';
  await killRest(target, known, options);
  await removeSocketLeftovers(socketPath);
  return outcome;
}

const POLL_MS = 20;
const KILL_WAIT_MS = 2_000;

/** Kills until nothing is left, since what is killed may have started more in between. */
async function killRest(target: ProcessIdentity, known: ProcessEntry[], options: StopOptions): Promise<void> {
  const deadline = Date.now() + KILL_WAIT_MS;
  for (;;) {
    const rest = await belongings(target, known, options.codexHome);
    if (rest.length === 0) return;
    if (Date.now() > deadline) throw survivor(rest);
    await Promise.all(rest.map((each) => send('SIGKILL', each)));
    known.push(...rest);
    options.signal?.throwIfAborted();
    await delay(POLL_MS);
  }
}

/** Only while it runs do its children name it as their parent, and is its pid surely its own as a session. */
async function belongingsByPid(target: ProcessIdentity): Promise<ProcessEntry[]> {
  if (!(await isAlive(target))) return [];
  const running = await listProcesses();
  return [...sessionMembers(target.pid, running), ...descendantsOf(target.pid, running)];
}

async function belongings(
  target: ProcessIdentity,
  known: readonly ProcessEntry[],
  codexHome: string,
): Promise<ProcessEntry[]> {
  const running = (await listProcesses()).filter(({ startTime }) => startTime >= target.startTime);
  const startTimes = new Map(running.map(({ pid, startTime }) => [pid, startTime]));
  const roots = [
    ...known.filter(({ pid, startTime }) => startTimes.get(pid) === startTime),
    ...(await livingIn(dirname(dirname(codexHome)), running)),
  ];
  const all = roots.flatMap((each) => [each, ...descendantsOf(each.pid, running)]);
  return [...new Map(all.map((each) => [each.pid, each])).values()].filter(({ pid }) => pid !== process.pid);
}

async function ended(target: ProcessIdentity, waitMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (Date.now() < deadline && (await isAlive(target))) {
    signal?.throwIfAborted();
    await delay(POLL_MS);
  }
}

/** Whether the process was there to take the signal. */
async function send(name: 'SIGTERM' | 'SIGKILL', { pid, startTime }: ProcessIdentity): Promise<boolean> {
  if ((await startTimeOf(pid)) !== startTime) return false;
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

const survivor = (rest: readonly ProcessIdentity[]) =>
  new TaskError(
    'HostUnfit',
    `Processes ${rest.map(({ pid }) => pid).join(', ')} of codex survive SIGKILL; see dmesg`,
  );
