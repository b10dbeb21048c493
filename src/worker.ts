import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { WorkflowNotFoundError } from '@temporalio/client';
import {
  bundleWorkflowCode,
  makeTelemetryFilterString,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import { createClaimActivities, createHostActivities, createSharedActivities } from './activities/index.js';
import { claimSlots } from './claim-slots.js';
import {
  connectTemporal,
  readSettings,
  requireNamespace,
  type TemporalLink,
} from './client/connect-temporal.js';
import { findCodex } from './codex/binary.js';
import type { Config } from './config.js';
import { hostQueueOf } from './contract.js';
import { reasonOf, TaskError } from './errors.js';
import { openDataFolder } from './host/data-folder.js';
import { keepGuard } from './host/start-guard.js';
import { loadListenerSecret } from './listener-secret.js';
import type { Log } from './log.js';
import { searchAttributesKnown } from './search-attributes.js';
import { createApp } from './server/app.js';
import { listen } from './server/listen.js';
import { endSession } from './session/end-task.js';
import { keepEnded } from './session/ended-tasks.js';
import type { HostContext } from './session/host-context.js';
import { HostTasks } from './session/host-tasks.js';
import { adoptTasks } from './session/adopt-tasks.js';
import { sweepTasks } from './session/sweep-tasks.js';
import { saveCredential } from './session/save-credential.js';
import { holdHostLease } from './session/host-lease.js';
import { ensureIndexes, openStore } from './store/mongo.js';

const LEASE_TTL_MS = 60_000;
const SIGNAL_TIMEOUT_MS = 10_000;
const SHUTDOWN_GRACE = '5s';

export interface WorkerLine {
  workerPid: number;
  hostId: string;
  listenerUrl: string;
}

export interface WorkerIo {
  /** Called once when it polls, the listener is bound and nothing is left of an earlier worker. */
  ready: (line: WorkerLine) => void;
  /** Ends the worker. */
  signal: AbortSignal;
  log: Log;
}

/**
 * Runs one host until `io.signal` aborts: the workers of its three queues and the listener.
 * @throws TaskError when something it needs is missing: one line that says what and what to do
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
    const folder = opened('data folder', await openDataFolder(config.dataDir), (each) => each.unlock());
    const secret = await loadListenerSecret(config.dataDir, config.listenerSecret);
    const [store, temporal, connection] = await openAll(config, env);
    opened('MongoDB', store, (each) => each.close());
    opened('Temporal client', temporal, (each) => each.close());
    opened('Temporal connection', connection, (each) => each.close());
    await requireNamespace(temporal);
    await ensureIndexes(store);

    const guard = keepGuard(config.dataDir, (error) => log.error({ reason: error.message }, 'guard.failed'));
    const tasks = new HostTasks(config.maxSessions);
    const ended = keepEnded(config.dataDir, config.keepEndedMs, (error) =>
      log.warn({ reason: reasonOf(error) }, 'ended.sweep.failed'),
    );
    opened('ended tasks', ended, (each) => each.close());
    const state: { publicUrl: string; notReady: string | null } = { publicUrl: '', notReady: 'starting' };
    const host: HostContext = {
      config,
      hostId: folder.hostId,
      store,
      log,
      codex,
      env,
      tasks,
      ended,
      leaseTtlMs: LEASE_TTL_MS,
      signalWorkflow: signaller(temporal),
      isRunning: watcherOf(temporal),
      guard: () => guard.ensure(),
      taskUrl: (taskId) => `${state.publicUrl}/tasks/${taskId}`,
    };
    const app = createApp({ host, secret, notReady: () => state.notReady });
    const listening = opened('listener', await listen(app, config.listen), (each) => each.close());
    state.publicUrl = config.publicUrl ?? addressOf(config.listen.host, listening.port);
    opened('host lease', await holdHostLease(host, state.publicUrl), (each) => each.close());
    await adoptTasks(host);
    opened('sweep', sweepTasks(host), (each) => each.close());

    const workers = await createWorkers(host, temporal, connection);
    const running = Promise.all(workers.map((worker) => worker.run()));
    opened('workers', workers, () => stopWorkers(workers, running));
    opened('guard', guard, (each) => each.close());
    opened('sessions', tasks, () => stopSessions(host));
    state.notReady = null;
    io.ready({ workerPid: process.pid, hostId: folder.hostId, listenerUrl: state.publicUrl });
    log.info({ hostId: folder.hostId, listenerUrl: state.publicUrl }, 'worker.ready');
    await Promise.race([running, aborted(io.signal)]);
    state.notReady = 'stopping';
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

async function openAll(config: Config, env: NodeJS.ProcessEnv) {
  const opening = [
    openStore({ uri: config.mongodbUri, prefix: config.mongoPrefix }),
    connectTemporal(env),
    connectNative(env),
  ] as const;
  const results = await Promise.allSettled(opening);
  const failed = results.find((each) => each.status === 'rejected');
  if (!failed) return Promise.all(opening);
  for (const each of results) if (each.status === 'fulfilled') await each.value.close();
  throw failed.reason;
}

async function connectNative(env: NodeJS.ProcessEnv): Promise<NativeConnection> {
  const { connectionOptions } = readSettings(env);
  try {
    return await NativeConnection.connect(connectionOptions);
  } catch (error) {
    const address = connectionOptions.address ?? 'localhost:7233';
    throw new TaskError(
      'Unavailable',
      `Temporal not reachable at ${address}: start it or set TEMPORAL_ADDRESS`,
      {
        cause: error,
      },
    );
  }
}

/** Sends a task's workflow a signal within a deadline. */
function signaller({ client, connection }: TemporalLink): HostContext['signalWorkflow'] {
  return async ({ taskId, runId }, name, argument) => {
    const handle = client.workflow.getHandle(taskId, undefined, { firstExecutionRunId: runId });
    try {
      await connection.withDeadline(Date.now() + SIGNAL_TIMEOUT_MS, () => handle.signal(name, argument));
      return 'sent';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'workflow-gone';
      throw error;
    }
  };
}

/** Asks whether a workflow runs, within a deadline. */
function watcherOf({ client, connection }: TemporalLink): HostContext['isRunning'] {
  return async ({ taskId, runId }) => {
    const handle = client.workflow.getHandle(taskId);
    try {
      const found = await connection.withDeadline(Date.now() + SIGNAL_TIMEOUT_MS, () => handle.describe());
      return found.status.name === 'RUNNING' && found.raw.workflowExecutionInfo?.firstRunId === runId;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
}

async function createWorkers(
  host: HostContext,
  temporal: TemporalLink,
  connection: NativeConnection,
): Promise<Worker[]> {
  const { config, tasks, hostId, store, leaseTtlMs } = host;
  const common: Pick<WorkerOptions, 'connection' | 'namespace' | 'shutdownGraceTime'> = {
    connection,
    namespace: temporal.namespace,
    shutdownGraceTime: SHUTDOWN_GRACE,
  };
  const fixed = { type: 'fixed-size', numSlots: 1 } as const;
  return Promise.all([
    Worker.create({
      ...common,
      taskQueue: config.taskQueue,
      ...(await workflowCode()),
      activities: createSharedActivities({
        store,
        leaseTtlMs,
        hasSearchAttributes: searchAttributesKnown(temporal),
      }),
      // After a kill, queries and decisions wait that long for the dead worker's cache.
      stickyQueueScheduleToStartTimeout: '1s',
    }),
    Worker.create({
      ...common,
      taskQueue: config.claimQueue,
      activities: createClaimActivities(host),
      tuner: {
        workflowTaskSlotSupplier: fixed,
        localActivityTaskSlotSupplier: fixed,
        nexusTaskSlotSupplier: fixed,
        activityTaskSlotSupplier: claimSlots(tasks),
      },
    }),
    Worker.create({
      ...common,
      taskQueue: hostQueueOf(hostId),
      activities: createHostActivities(host),
      // Each session holds two long steps; the short ones must always find a slot beside them.
      maxConcurrentActivityTaskExecutions: config.maxSessions * 2 + 32,
    }),
  ]);
}

/** The bundle that the build made, or one made now. */
async function workflowCode(): Promise<{ workflowBundle: WorkflowBundleOption }> {
  const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  if (existsSync(file('./workflow-bundle.js')))
    return { workflowBundle: { codePath: file('./workflow-bundle.js') } };
  const built = file('./workflows/index.js');
  const workflowsPath = existsSync(built) ? built : file('./workflows/index.ts');
  return { workflowBundle: await bundleWorkflowCode({ workflowsPath }) };
}

async function stopSessions(host: HostContext): Promise<void> {
  host.tasks.drain();
  const stops = host.tasks.all().map(async (task) => {
    await endSession(host, task.ref);
    if (task.is !== 'claimed' && task.prepared.lease)
      await saveCredential(host, task.prepared, task.prepared.lease);
  });
  const failed = (await Promise.allSettled(stops)).filter((each) => each.status === 'rejected');
  for (const { reason } of failed) host.log.error({ reason: reasonOf(reason) }, 'session.stop.failed');
}

async function stopWorkers(workers: Worker[], running: Promise<unknown>): Promise<void> {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  await running;
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** An address that clients on this machine can use when the listener takes all of them. */
function addressOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

/**
 * Temporal's own log lines join ours; its signal handling does not: the worker stops in its own order.
 * @returns its end, which a runtime needs that nothing was ever made with
 */
export function installRuntime(log: Log): () => Promise<void> {
  const runtime = Runtime.install({
    shutdownSignals: [],
    // Otherwise the native core writes its own lines to stdout, among the results.
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
    },
    logger: {
      log: (level, message, meta) => log[LEVELS[level]]({ temporal: message, ...meta }),
      trace: (message, meta) => log.trace({ temporal: message, ...meta }),
      debug: (message, meta) => log.debug({ temporal: message, ...meta }),
      info: (message, meta) => log.debug({ temporal: message, ...meta }),
      warn: (message, meta) => log.warn({ temporal: message, ...meta }),
      error: (message, meta) => log.error({ temporal: message, ...meta }),
    },
  });
  return () => runtime.shutdown();
}

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const;
