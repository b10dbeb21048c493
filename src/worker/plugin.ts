import type { ClientOptions, ClientPlugin } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type {
  BundleOptions,
  BundlerPlugin,
  ReplayWorkerOptions,
  Worker,
  WorkerOptions,
  WorkerPlugin,
} from '@temporalio/worker';
import { askAgain } from '../client/ask-again.js';
import { TaskError } from '../errors.js';
import { OUR_WORKFLOWS, requireOurWorkflows, withOurWorkflows } from './bundling.js';
import { convertersOf, type Converters } from './converters.js';
import { openServing, type Serving } from './serve-beside.js';
import { readSettings, type WorkerSettings } from './worker-settings.js';

/** The task queue is that of the Worker. */
export interface CodexTaskPluginSettings extends Omit<WorkerSettings, 'taskQueue'> {
  /** For the caller's payloads and ours, where Worker or Client have none; not beside a payload key. */
  readonly dataConverter?: DataConverter | undefined;
}

/** What `plugins` of a Worker, a Client, `bundleWorkflowCode` or one of their connections takes. */
export type CodexTaskPlugin = WorkerPlugin & ClientPlugin & BundlerPlugin;

/**
 * Lets a Worker of the caller's run codex tasks beside its own workflows and activities, on its task queue:
 * - its bundle gets the workflow `codexTask`, so `bundleWorkflowCode` needs the plugin too where it is called apart;
 * - this process becomes a host: `worker.run()` opens data folder, database and listener before it polls, and
 *   `shutdown()`, by a signal too, first drains as `settings.drain` says;
 * - payloads of both go through one data converter: the Worker's or the Client's own, `settings.dataConverter`, or one
 *   of `payloadKey`.
 *
 * A plugin serves one Worker; another Worker takes another plugin with a data folder of its own.
 * @throws TaskError `BadInput` that names every wrong setting by its variable
 */
export function codexTaskPlugin(settings: CodexTaskPluginSettings = {}): CodexTaskPlugin {
  const { config, env } = readSettings(settings);
  const converters = convertersOf(config.payloadKeys, settings.dataConverter);
  const serving = openServing(config, env, converters);
  return {
    name: 'codex-task-worker',
    configureClient: (options) => configureClient(options, converters),
    configureBundler: (options) => configureBundler(options, converters),
    async configureWorker(options) {
      if (serving.isOfOurs(options.taskQueue)) return options;
      const configured = await configureWorker(options, converters, serving);
      serving.configured(configured);
      return configured;
    },
    configureReplayWorker: async (options) => withWorkflows(options, converters),
    runWorker: (worker, next) => runWorker(worker, next, serving),
  };
}

function configureClient(options: ClientOptions, converters: Converters): ClientOptions {
  const { interceptors } = options;
  const workflow = interceptors?.workflow ?? [];
  return {
    ...options,
    dataConverter: converters.outside(options.dataConverter),
    // Of the older form an interceptor is made for each workflow, and cannot be added to.
    ...(Array.isArray(workflow) && {
      interceptors: {
        ...interceptors,
        workflow: [...workflow.filter((each) => each !== askAgain), askAgain],
      },
    }),
  };
}

function configureBundler(options: BundleOptions, converters: Converters): BundleOptions {
  const { payloadConverterPath, failureConverterPath } = converters.inside();
  return withOurWorkflows({
    ...(payloadConverterPath !== undefined && { payloadConverterPath }),
    ...(failureConverterPath !== undefined && { failureConverterPath }),
    ...options,
  });
}

async function configureWorker(
  options: WorkerOptions,
  converters: Converters,
  { taskQueue, activities }: Serving,
): Promise<WorkerOptions> {
  const own = { ...options.activities } as Record<string, unknown>;
  const taken = Object.keys(activities).filter(
    (name) => own[name] !== undefined && own[name] !== activities[name],
  );
  if (taken.length > 0)
    throw new TaskError('BadInput', `Activities of this name are codex-task-worker's: ${taken.join(', ')}`);
  return {
    ...(await withWorkflows(options, converters)),
    taskQueue: options.taskQueue ?? taskQueue,
    activities: { ...own, ...activities },
  };
}

async function withWorkflows<O extends WorkerOptions | ReplayWorkerOptions>(
  options: O,
  converters: Converters,
): Promise<O> {
  const { workflowBundle } = options;
  if (workflowBundle) await requireOurWorkflows(workflowBundle);
  return {
    ...options,
    ...(!workflowBundle && { workflowsPath: options.workflowsPath ?? OUR_WORKFLOWS }),
    dataConverter: converters.inside(options.dataConverter),
  };
}

async function runWorker(
  worker: Worker,
  next: (worker: Worker) => Promise<void>,
  serving: Serving,
): Promise<void> {
  if (serving.isOfOurs(worker.options.taskQueue)) return next(worker);
  return serving.run(worker, next);
}
