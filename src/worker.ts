import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Worker } from '@temporalio/worker';
import { orAborted } from './async/abort.js';
import { connectTemporal, requireNamespace } from './client/connect-temporal.js';
import { CODEX_VERSION, findCodex } from './codex/binary.js';
import type { Config } from './config.js';
import { HostSuperseded, reasonOf } from './errors.js';
import { openDataFolder } from './process/data-folder.js';
import { mayChangeKernel } from './process/kernel-settings.js';
import { whyNothingOutlives } from './process/outlives-worker.js';
import { ensureGuard } from './process/start-guard.js';
import { loadListenerSecret } from './listener-secret.js';
import type { Log } from './log.js';
import { createApp } from './listener/app.js';
import { listen } from './listener/listen.js';
import { segmentOf } from './listener/task-segment.js';
import { tasksFolder } from './task-folder/task-folder.js';
import { keepEnded } from './session/host/ended-journals.js';
import { forgetEnded } from './session/host/leftover-folders.js';
import type { HostContext } from './session/model/host-context.js';
import { HostTasks } from './session/model/host-tasks.js';
import { adoptTasks } from './session/host/adopt-tasks.js';
import { countQuarantined } from './session/host/store-janitor.js';
import { openFitness } from './session/host/host-fitness.js';
import { endStrays } from './session/host/end-strays.js';
import { sweepTasks } from './session/host/sweep-tasks.js';
import { drainSessions } from './session/host/drain-sessions.js';
import { wakeWaiters } from './session/host/wake-waiters.js';
import { giveUpHost } from './session/host/give-up-host.js';
import { evictTasks } from './session/host/evict-tasks.js';
import { announceReturn } from './session/host/announce-return.js';
import { holdHostLease, type HostLease } from './session/host/host-lease.js';
import { ensureIndexes } from './store/indexes.js';
import { type Store } from './store/mongo.js';
import { workflowCalls } from './temporal/workflow-calls.js';
import { openStore } from './store/open-store.js';

/** What subscribers that waited for the recovery get before the thread is busy loading. */
const SERVE_FIRST_MS = 30;

export interface WorkerLine {
  workerPid: number;
  hostId: string;
  listenerUrl: string;
}

export interface WorkerIo {
  /** Called once when it polls, the listener is bound and nothing is left of an earlier worker. */
  ready: (line: WorkerLine) => void;
  /** Ends the worker, in the way that `config.drain` says. */
  signal: AbortSignal;
  /** Ends what it waits for then: the tasks that still run are stopped gently. */
  hurry: AbortSignal;
  log: Log;
}

/**
 * Runs one host until `io.signal` aborts: the workers of its three queues and the listener.
 * @throws TaskError when something it needs is missing: one line that says what and what to do; `HostSuperseded` once
 * all is stopped when another worker has taken the host over
 */
export async function runWorker(config: Config, env: NodeJS.ProcessEnv, io: WorkerIo): Promise<void> {
  const { log } = io;
  const closers: [string, () => Promise<unknown> | void][] = [];
  const opened = <T>(name: string, thing: T, close: (thing: T) => Promise<unknown> | void): T => {
    closers.unshift([name, () => close(thing)]);
    return thing;
  };
  try {
    const codex = await findCodex(env);
    if (codex.version !== CODEX_VERSION)
      log.warn({ version: codex.version, expected: CODEX_VERSION }, 'codex.version.differs');
    const folder = opened('data folder', await openDataFolder(config.dataDir), (each) => each.unlock());
    await mkdir(tasksFolder(config.dataDir), { recursive: true, mode: 0o700 });
    const secret = await loadListenerSecret(config.dataDir, config.listenerSecret);
    const [database, temporal] = await openAll(config, env);
    opened('MongoDB', database, (each) => each.close());
    for (const warning of database.warnings) log.warn({ warning }, 'mongodb.option.overruled');
    opened('Temporal client', temporal, (each) => each.close());
    const [fleet] = await Promise.all([requireNamespace(temporal), ensureIndexes(database)]);
    const store: Store = fleet === null ? database : { ...database, fleet };

    // Closed after whatever has a codex; where one is left it stays next to it, and is not waited for.
    const guard = opened(
      'guard',
      ensureGuard(config.dataDir, (error) => log.error({ reason: error.message }, 'guard.failed'), env),
      (each) => (config.drain === 'detach' ? void each.close() : each.close()),
    );
    const tasks = new HostTasks(config.maxSessions);
    const ended = keepEnded(config.dataDir, config.keepEndedMs, (error) =>
      log.warn({ reason: reasonOf(error) }, 'ended.sweep.failed'),
    );
    opened('ended tasks', ended, (each) => each.close());
    const state: { publicUrl: string; notReady: string | null } = { publicUrl: '', notReady: 'starting' };
    const fitness = await openFitness(store, folder.hostId, tasks, log);
    let lease: HostLease | null = null;
    const hold = () => lease!;
    const host: HostContext = {
      config,
      hostId: folder.hostId,
      store,
      log,
      codex,
      env,
      tasks,
      fitness,
      ended,
      accounts: { saved: 0, quarantined: 0 },
      leaseTtlMs: config.leaseTtlMs,
      right: {
        isHeld: () => hold().isHeld(),
        whenHeld: (signal) => hold().whenHeld(signal),
        isToEvict: (taskId) => hold().isToEvict(taskId),
      },
      ...workflowCalls(temporal),
      guard: () => guard.ensure(),
      taskUrl: (taskId) => `${state.publicUrl}/tasks/${segmentOf(taskId)}`,
    };
    const superseded = new AbortController();
    let markRecovered: () => void = () => undefined;
    const recovered = new Promise<void>((resolve) => (markRecovered = resolve));
    const app = createApp({
      host,
      secret,
      notReady: () => state.notReady,
      recovered,
      quarantined: () => countQuarantined(host),
    });
    const listening = opened('listener', await listen(app, config.listen), (each) => each.close());
    state.publicUrl = config.publicUrl ?? addressOf(config.listen.host, listening.port);
    // Before here a start may fail, and its reason is the one line that is printed.
    await warnOfDetach(config, log);
    warnOfRoot(log);
    const evictions = evictTasks(host, recovered);
    lease = await holdHostLease(host, {
      listenerUrl: state.publicUrl,
      onEvict: (eviction) => evictions.evict(eviction),
      onForget: (taskId) => void forgetEnded(host, taskId),
      onBack: () => announceReturn(host),
      onSuperseded: () => superseded.abort(),
    });
    opened('host lease', lease, (each) => each.close());
    opened('evictions', evictions, (each) => each.close());
    await endStrays(host);
    await adoptTasks(host, lease.evicted);
    markRecovered();
    opened('sweep', sweepTasks(host), (each) => each.close());
    opened('waiters', wakeWaiters(host), (each) => each.close());

    // The native core takes most of the start and blocks this thread: those who wait are served before it.
    await delay(SERVE_FIRST_MS);
    const { connectNative, createWorkers, installRuntime } = await import('./temporal/temporal-workers.js');
    const endRuntime = installRuntime(log);
    // Not awaited: with a worker that never ran it would not come to an end.
    opened('Temporal runtime', endRuntime, (end) => void end().catch(() => undefined));
    const connection = opened('Temporal connection', await connectNative(env), (each) => each.close());
    const workers = await createWorkers(host, temporal, connection);
    const running = Promise.all(workers.map((worker) => worker.run()));
    opened('workers', workers, () => stopWorkers(workers, running));
    opened('sessions', workers, async ([shared, claims]) => {
      if (superseded.signal.aborted) {
        // Its steps are the other worker's from now on.
        for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
        return giveUpHost(host);
      }
      // Teardown of tasks that are waited for still runs on the host's own queue, and on the shared one.
      const waits = config.drain === 'wait' || config.drain === 'move';
      for (const worker of waits ? [claims] : [claims, shared])
        if (worker?.getState() === 'RUNNING') worker.shutdown();
      await drainSessions(host, config.drain, io.hurry);
    });
    state.notReady = null;
    io.ready({ workerPid: process.pid, hostId: folder.hostId, listenerUrl: state.publicUrl });
    log.info({ hostId: folder.hostId, listenerUrl: state.publicUrl }, 'worker.ready');
    await orAborted(running, AbortSignal.any([io.signal, superseded.signal]));
    const waits = config.drain === 'wait' || config.drain === 'move';
    state.notReady = waits && !superseded.signal.aborted ? 'draining' : 'stopping';
    if (superseded.signal.aborted) throw new HostSuperseded(folder.hostId);
  } finally {
    for (const [name, close] of closers) {
      try {
        await close();
      } catch (error) {
        log.error({ what: name, reason: reasonOf(error) }, 'close.failed');
      }
    }
  }
}

/** A worker that would leave codex running says so where that cannot be. */
async function warnOfDetach({ drain, maxSessions }: Config, log: Log): Promise<void> {
  log.info({ maxSessions, drain }, 'worker.settings');
  const because = drain === 'detach' ? await whyNothingOutlives() : null;
  if (because !== null)
    log.warn({ because, remedy: 'set CODEX_TASK_DRAIN=stop' }, 'worker.detach.unavailable');
}

function warnOfRoot(log: Log): void {
  if (!mayChangeKernel()) return;
  const because = 'commands in the sandbox may change settings of the kernel (/proc/sys), as this user may';
  log.warn({ because, remedy: 'run the worker as a user of its own, not as root' }, 'worker.sandbox.open');
}

async function openAll(config: Config, env: NodeJS.ProcessEnv) {
  const opening = [
    openStore({ uri: config.mongodbUri, prefix: config.mongoPrefix, seedKeys: config.seedKeys }),
    connectTemporal(env),
  ] as const;
  const results = await Promise.allSettled(opening);
  const failed = results.find((each) => each.status === 'rejected');
  if (!failed) return Promise.all(opening);
  for (const each of results) if (each.status === 'fulfilled') await each.value.close();
  throw failed.reason;
}

async function stopWorkers(workers: Worker[], running: Promise<unknown>): Promise<void> {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  await running;
}

/** An address that clients on this machine can use when the listener takes all of them. */
function addressOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
