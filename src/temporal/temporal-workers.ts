import {
  makeTelemetryFilterString,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
} from '@temporalio/worker';
import type { DataConverter } from '@temporalio/common';
import {
  createClaimActivities,
  createHostActivities,
  createSharedActivities,
  createVerifyActivities,
  type SharedActivities,
  type VerifyActivities,
} from '../activities/index.js';
import { isCounted } from '../activities/slots-of.js';
import { countedSlots } from './activity-slots.js';
import { claimSlots } from './claim-slots.js';
import { connectionSettings, type TemporalAccess } from '../client/connect-temporal.js';
import { workerConverter } from '../codec/data-converter.js';
import { hostQueueOf } from '../contract/index.js';
import { TaskError } from '../errors.js';
import type { Log } from '../log.js';
import { searchAttributesKnown } from './search-attributes.js';
import type { HostContext } from '../session/model/host-context.js';
import { workflowCode } from './workflow-code.js';

const SHUTDOWN_GRACE = '5s';
/** Activities that a host runs at once beyond one for each task. */
const SPARE_SLOTS = 32;
/** Activities that a worker runs at once for tasks of any host. */
const SHARED_SLOTS = 100;

/** Slots of the worker of workflows and of activities that any worker can run. */
export const sharedOptions = () =>
  ({
    ...countedSlots(SHARED_SLOTS, isCounted),
    // After a kill, queries and decisions wait that long for the dead worker's cache.
    stickyQueueScheduleToStartTimeout: '1s',
  }) as const satisfies Partial<WorkerOptions>;

/** The three Temporal workers of a host: workflows and shared steps, claims, and its own steps. */
export async function createWorkers(
  host: HostContext,
  temporal: TemporalAccess,
  connection: NativeConnection,
): Promise<{ shared: Worker; claims: Worker; own: Worker }> {
  const { config } = host;
  const [shared, { claims, own }] = await Promise.all([
    Worker.create({
      ...commonOptions(temporal, connection),
      taskQueue: config.taskQueue,
      ...(await workflowCode(config.payloadKeys.writes !== null)),
      dataConverter: workerConverter(config.payloadKeys, 'pass'),
      activities: sharedActivities(host, temporal),
      ...sharedOptions(),
    }),
    createHostWorkers(host, temporal, connection, workerConverter(config.payloadKeys, 'refuse')),
  ]);
  return { shared, claims, own };
}

/** The steps that run beside the workflows, on any worker. */
export const sharedActivities = (
  host: HostContext,
  temporal: TemporalAccess,
): SharedActivities & VerifyActivities => ({
  ...createSharedActivities({
    store: host.store,
    leaseTtlMs: host.leaseTtlMs,
    hasSearchAttributes: searchAttributesKnown(temporal, (missing) =>
      host.log.warn({ namespace: temporal.namespace, missing }, 'search.attributes.missing'),
    ),
  }),
  ...createVerifyActivities(host),
});

/** The two workers that have activities only: claims, and the host's own steps. */
export async function createHostWorkers(
  host: HostContext,
  temporal: TemporalAccess,
  connection: NativeConnection,
  dataConverter: DataConverter,
): Promise<{ claims: Worker; own: Worker }> {
  const { config, tasks, hostId } = host;
  const common = { ...commonOptions(temporal, connection), dataConverter };
  const fixed = { type: 'fixed-size', numSlots: 1 } as const;
  const [claims, own] = await Promise.all([
    Worker.create({
      ...common,
      taskQueue: config.claimQueue,
      activities: createClaimActivities(host),
      tuner: {
        workflowTaskSlotSupplier: fixed,
        localActivityTaskSlotSupplier: fixed,
        nexusTaskSlotSupplier: fixed,
        activityTaskSlotSupplier: claimSlots(tasks, host.fitness),
      },
    }),
    Worker.create({
      ...common,
      taskQueue: hostQueueOf(hostId),
      activities: createHostActivities(host),
      // One at a time for each task, and the ends of those that leave.
      ...countedSlots(config.maxSessions + SPARE_SLOTS, isCounted),
    }),
  ]);
  return { claims, own };
}

const commonOptions = (
  { namespace }: TemporalAccess,
  connection: NativeConnection,
): Pick<WorkerOptions, 'connection' | 'namespace' | 'shutdownGraceTime'> => ({
  connection,
  namespace,
  shutdownGraceTime: SHUTDOWN_GRACE,
});

/** @throws TaskError `Unavailable` when Temporal does not answer */
export async function connectNative(env: NodeJS.ProcessEnv): Promise<NativeConnection> {
  const { connectionOptions } = connectionSettings(env);
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
      // Two of a host's three workers have activities only.
      warn: (message, meta) =>
        log[message.startsWith('No workflows registered') ? 'debug' : 'warn']({ temporal: message, ...meta }),
      error: (message, meta) => log.error({ temporal: message, ...meta }),
    },
  });
  return () => runtime.shutdown();
}

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'debug', WARN: 'warn', ERROR: 'error' } as const;
