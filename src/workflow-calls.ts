import { isGrpcServiceError, WorkflowNotFoundError } from '@temporalio/client';
import type { TemporalLink } from './client/connect-temporal.js';
import { createTaskClient } from './client/task-client.js';
import { reasonOf, TaskError } from './errors.js';
import type { HostContext } from './session/host-context.js';

const TIMEOUT_MS = 10_000;
/** Of gRPC, where trying again gives the same answer. */
const INVALID_ARGUMENT = 3;
/** The server's word where only this run of the workflow takes no more: the next one does. */
const FULL = 'limit for signal events';

function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof Error) || !isGrpcServiceError(error.cause)) return false;
  const { code, details } = error.cause;
  return Number(code) === INVALID_ARGUMENT && !details.includes(FULL);
}

/** What a host asks and tells the workflows of its tasks, each within a deadline. */
export const workflowCalls = (
  temporal: TemporalLink,
): Pick<HostContext, 'signalWorkflow' | 'isRunning' | 'hostsInUse'> => ({
  signalWorkflow: signaller(temporal),
  isRunning: watcherOf(temporal),
  hostsInUse: (signal) => hostsInUse(temporal, signal),
});

function signaller({ client, connection }: TemporalLink): HostContext['signalWorkflow'] {
  return async ({ taskId, runId }, name, argument) => {
    const handle = client.workflow.getHandle(taskId, undefined, { firstExecutionRunId: runId });
    try {
      await connection.withDeadline(Date.now() + TIMEOUT_MS, () => handle.signal(name, argument));
      return 'sent';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'workflow-gone';
      throw isRefusedForGood(error)
        ? new TaskError('BadInput', `Temporal refuses signal ${name}: ${reasonOf(error)}`, { cause: error })
        : error;
    }
  };
}

function watcherOf({ client, connection }: TemporalLink): HostContext['isRunning'] {
  return async ({ taskId, runId }) => {
    const handle = client.workflow.getHandle(taskId);
    try {
      const found = await connection.withDeadline(Date.now() + TIMEOUT_MS, () => handle.describe());
      return found.status.name === 'RUNNING' && found.raw.workflowExecutionInfo?.firstRunId === runId;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
}

async function hostsInUse({ client }: TemporalLink, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const tasks = createTaskClient({ client });
  const hosts = new Set<string>();
  // It ends a call under way; one that is begun after it goes on.
  await client.withAbortSignal(signal, async () => {
    signal.throwIfAborted();
    for await (const { taskId } of tasks.list()) {
      signal.throwIfAborted();
      const { host } = await tasks.handle(taskId).status();
      if (host !== null) hosts.add(host);
    }
  });
  return hosts;
}
