import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  bundleWorkflowCode,
  Worker,
  type NativeConnection,
  type WorkerOptions,
  type WorkflowBundleOption,
} from '@temporalio/worker';
import { createClaimActivities, createHostActivities, createSharedActivities } from './activities/index.js';
import { claimSlots } from './claim-slots.js';
import type { TemporalLink } from './client/connect-temporal.js';
import { hostQueueOf } from './contract.js';
import { searchAttributesKnown } from './search-attributes.js';
import type { HostContext } from './session/host-context.js';

const SHUTDOWN_GRACE = '5s';

/** The three Temporal workers of a host: workflows and shared steps, claims, and its own steps. */
export async function createWorkers(
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
