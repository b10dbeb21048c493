import { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { NativeConnection, Worker, WorkerOptions } from '@temporalio/worker';
import { SLOTS_OF } from '../activities/slots-of.js';
import { orAborted } from '../async/abort.js';
import type { TemporalAccess } from '../client/connect-temporal.js';
import type { Config } from '../config.js';
import { claimQueueOf, hostQueueOf } from '../contract/index.js';
import { TaskError } from '../errors.js';
import { createLog } from '../log.js';
import type { HostContext } from '../session/model/host-context.js';
import { openWorker, type Poller, type Polling } from '../worker.js';
import type { Converters } from './converters.js';

type Step = (...args: unknown[]) => Promise<unknown>;
type Next = (worker: Worker) => Promise<void>;

/** A host beside a Worker of the caller's. */
export interface Serving {
  /** Where the Worker has none of its own. */
  readonly taskQueue: string;
  /** Steps for the Worker; they are done once the host is open. */
  readonly activities: Readonly<Record<string, Step>>;
  /** Whether a queue is one of the host's own workers, which a plugin of their connection is asked about too. */
  isOfOurs(taskQueue: string | undefined): boolean;
  /** What the Worker is made with in the end. */
  configured(options: WorkerOptions): void;
  /** Runs the Worker and the host until both have ended. @throws what one of them could not go on for */
  run(worker: Worker, next: Next): Promise<void>;
}

/** Names of the steps that any worker on the queue of the workflows can do. */
const SHARED_STEPS = Object.entries(SLOTS_OF).flatMap(([name, { queue }]) =>
  queue === 'shared' ? name : [],
);

export function openServing(config: Config, env: NodeJS.ProcessEnv, converters: Converters): Serving {
  const steps: Record<string, Step> = {};
  const step =
    (name: string): Step =>
    (...args) =>
      steps[name]!(...args);
  let options: WorkerOptions | null = null;
  let served: Worker | null = null;
  return {
    taskQueue: config.taskQueue,
    activities: Object.fromEntries(SHARED_STEPS.map((name) => [name, step(name)])),
    isOfOurs: (taskQueue = '') =>
      taskQueue.startsWith(hostQueueOf('')) ||
      (options !== null && taskQueue === claimQueueOf(options.taskQueue ?? '')),
    configured: (given) => void (options = given),
    async run(worker, next) {
      if (served === worker) return next(worker);
      if (served !== null || options === null)
        throw new TaskError('BadInput', 'codexTaskPlugin serves one Worker: make another for this one');
      served = worker;
      const { taskQueue, namespace } = worker.options;
      const connection = worker.connection!;
      const ofQueue = { ...config, taskQueue, claimQueue: claimQueueOf(taskQueue) };
      const dataConverter = converters.outside(options.dataConverter);
      const client = new Client({ connection, namespace, dataConverter });
      const access = { client, connection, namespace, address: 'the address of the Worker' };
      await serveBeside(worker, next, { config: ofQueue, env, access, connection, dataConverter, steps });
    },
  };
}

interface Beside {
  readonly config: Config;
  readonly env: NodeJS.ProcessEnv;
  readonly access: TemporalAccess;
  readonly connection: NativeConnection;
  readonly dataConverter: DataConverter;
  /** Gets the steps of the shared queue. */
  readonly steps: Record<string, Step>;
}

async function serveBeside(worker: Worker, next: Next, beside: Beside): Promise<void> {
  const { config, env, access, connection, dataConverter, steps } = beside;
  const asked = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  const poll = async (host: HostContext, temporal: TemporalAccess): Promise<Polling> => {
    const { createHostWorkers, sharedActivities } = await import('../temporal/temporal-workers.js');
    Object.assign(steps, sharedActivities(host, temporal));
    const { claims, own } = await createHostWorkers(host, temporal, connection, dataConverter);
    const [shared, ...others] = [worker, claims, own].map((each) => heldBack(each, () => asked.abort()));
    running = Promise.all([next(worker), claims.run(), own.run()]);
    return { shared: shared!, claims: others[0]!, own: others[1]!, running };
  };
  const log = createLog(config.logLevel);
  const connect = async () => ({ ...access, close: () => undefined });
  const open = await openWorker(config, env, { log, connect, poll }).catch(async (error: unknown) => {
    // A worker that never ran would keep its connection from closing.
    await endAtOnce(worker, next);
    throw error;
  });
  try {
    await orAborted(open.ended, asked.signal);
  } finally {
    await open.drain(config.drain, NEVER);
  }
  await running;
}

async function endAtOnce(worker: Worker, next: Next): Promise<void> {
  if (worker.getState() !== 'INITIALIZED') return;
  const ran = next(worker).catch(() => undefined);
  // Another plugin may still hold it up.
  if (worker.getState() !== 'RUNNING') return;
  worker.shutdown();
  await ran;
}

const NEVER = new AbortController().signal;

/**
 * A worker that is told to shut down, by the runtime's signal too, when its host is drained: until then somebody needs
 * what it polls.
 * @param onAsked called when anybody tells the worker itself
 */
function heldBack(worker: Worker, onAsked: () => void): Poller {
  const shutdown = worker.shutdown.bind(worker);
  worker.shutdown = () => (worker.getState() === 'RUNNING' ? onAsked() : shutdown());
  return { getState: () => worker.getState(), shutdown };
}
