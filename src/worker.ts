import { setTimeout as delay } from 'node:timers/promises';
import { orAborted } from './async/abort.js';
import { connectTemporal, type TemporalAccess } from './client/connect-temporal.js';
import type { Config, DrainMode } from './config.js';
import { HostSuperseded, reasonOf } from './errors.js';
import type { Log } from './log.js';
import { drainSessions } from './session/host/drain-sessions.js';
import { giveUpHost } from './session/host/give-up-host.js';
import type { HostContext } from './session/model/host-context.js';
import { closeInOrder, type Openings } from './worker/close-in-order.js';
import { openHost, type HostParts } from './worker/open-host.js';
import { takeUp } from './worker/take-up.js';
import type { WorkerLine } from './worker/worker-line.js';

/** What subscribers that waited for the recovery get before the thread is busy loading. */
const SERVE_FIRST_MS = 30;

export interface WorkerIo {
  /** Called once when it polls, the listener is bound and nothing is left of an earlier worker. */
  ready: (line: WorkerLine) => void;
  /** Ends the worker, in the way that `config.drain` says. */
  signal: AbortSignal;
  /** Ends what it waits for then: the tasks that still run are stopped gently. */
  hurry: AbortSignal;
  log: Log;
}

/** One of a host's Temporal workers. */
export interface Poller {
  getState(): string;
  shutdown(): void;
}

/** A host's Temporal workers while they poll. */
export interface Polling {
  /** Of workflows and steps that need no host. */
  readonly shared: Poller;
  readonly claims: Poller;
  /** Of the steps on this host. */
  readonly own: Poller;
  /** Comes to an end when all three are shut down, or one of them fails. */
  readonly running: Promise<unknown>;
}

export interface WorkerParts extends Pick<HostParts, 'connect'> {
  readonly log: Log;
  /** Begins to poll. */
  readonly poll: (host: HostContext, temporal: TemporalAccess, openings: Openings) => Promise<Polling>;
}

export interface OpenWorker {
  readonly line: WorkerLine;
  /** Comes to an end when it cannot go on: with what failed, or with `HostSuperseded`. */
  readonly ended: Promise<unknown>;
  /**
   * Ends it: what runs is left or ended as the mode says, then all is closed.
   * @param hurry ends what `wait` and `move` wait for: the tasks that still run are stopped gently
   */
  drain(mode: DrainMode, hurry: AbortSignal): Promise<void>;
}

/**
 * Runs one host until `io.signal` aborts: the workers of its three queues and the listener.
 * @throws TaskError when something it needs is missing: one line that says what and what to do; `HostSuperseded` once
 * all is stopped when another worker has taken the host over
 */
export async function runWorker(config: Config, env: NodeJS.ProcessEnv, io: WorkerIo): Promise<void> {
  const worker = await openWorker(config, env, {
    log: io.log,
    connect: () => connectTemporal(env),
    poll: (host, temporal, openings) => pollByItself(host, temporal, openings),
  });
  try {
    io.ready(worker.line);
    await orAborted(worker.ended, io.signal);
  } finally {
    await worker.drain(config.drain, io.hurry);
  }
}

/**
 * Opens one host: its folder, the servers, the listener, what an earlier worker left, and then its workers.
 * @throws TaskError as `runWorker` does; all is closed then
 */
export async function openWorker(
  config: Config,
  env: NodeJS.ProcessEnv,
  { log, connect, poll }: WorkerParts,
): Promise<OpenWorker> {
  const openings = closeInOrder((what, error) =>
    log.error({ what, reason: reasonOf(error) }, 'close.failed'),
  );
  const ending = { mode: config.drain, hurry: NEVER };
  const superseded = new AbortController();
  try {
    const open = await openHost({ config, env, log, openings, ending, connect });
    const { host, temporal, standing } = open;
    await takeUp(open, openings, () => superseded.abort());
    // The native core takes most of the start and blocks this thread: those who wait are served before it.
    await delay(SERVE_FIRST_MS);
    const polling = await poll(host, temporal, openings);
    openings.opened('workers', polling, stopPolling);
    openings.opened('sessions', polling, () =>
      superseded.signal.aborted ? giveUp(host, polling) : endSessions(host, polling, ending),
    );
    standing.notReady = null;
    const { hostId } = host;
    log.info({ hostId, listenerUrl: standing.publicUrl }, 'worker.ready');
    const ended = orAborted(polling.running, superseded.signal).then(() => {
      if (superseded.signal.aborted) throw new HostSuperseded(hostId);
    });
    // Who drains it has heard, or does not ask.
    ended.catch(() => undefined);
    return {
      line: { workerPid: process.pid, hostId, listenerUrl: standing.publicUrl },
      ended,
      async drain(mode, hurry) {
        Object.assign(ending, { mode, hurry });
        standing.notReady = waits(mode) && !superseded.signal.aborted ? 'draining' : 'stopping';
        await openings.close();
      },
    };
  } catch (error) {
    await openings.close();
    throw error;
  }
}

/** Tasks are waited for: what they still need is polled for meanwhile. */
const waits = (mode: DrainMode): boolean => mode === 'wait' || mode === 'move';
const NEVER = new AbortController().signal;

/** The workers of a process that has no others. */
async function pollByItself(
  host: HostContext,
  temporal: TemporalAccess,
  openings: Openings,
): Promise<Polling> {
  const { connectNative, createWorkers, installRuntime } = await import('./temporal/temporal-workers.js');
  // Not awaited: with a worker that never ran it would not come to an end.
  openings.opened('Temporal runtime', installRuntime(host.log), (end) => void end().catch(() => undefined));
  const connection = openings.opened('Temporal connection', await connectNative(host.env), (each) =>
    each.close(),
  );
  const workers = await createWorkers(host, temporal, connection);
  const { shared, claims, own } = workers;
  return { ...workers, running: Promise.all([shared, claims, own].map((worker) => worker.run())) };
}

async function endSessions(
  host: HostContext,
  { shared, claims }: Polling,
  { mode, hurry }: { mode: DrainMode; hurry: AbortSignal },
): Promise<void> {
  // Teardown of tasks that are waited for still runs on the host's own queue, and on the shared one.
  shutDown(waits(mode) ? [claims] : [claims, shared]);
  await drainSessions(host, mode, hurry);
}

/** Its steps are the other worker's from now on. */
async function giveUp(host: HostContext, { shared, claims, own }: Polling): Promise<void> {
  shutDown([shared, claims, own]);
  await giveUpHost(host);
}

async function stopPolling({ shared, claims, own, running }: Polling): Promise<void> {
  shutDown([shared, claims, own]);
  await running;
}

function shutDown(pollers: readonly Poller[]): void {
  for (const poller of pollers) if (poller.getState() === 'RUNNING') poller.shutdown();
}
