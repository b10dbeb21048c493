import { createHmac, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isGrpcServiceError, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { isUnprocessed } from '../client/client-failure.js';
import type { TemporalAccess } from '../client/connect-temporal.js';
import { lookingClient } from '../client/looking-client.js';
import { createTaskClient } from '../client/task-client.js';
import { decidePermissionUpdate, type PermissionDecision } from '../contract/index.js';
import { readRefusal } from '../input/decision-refusals.js';
import { reasonOf, TaskError } from '../errors.js';
import { hostsInUse } from '../client/hosts-in-use.js';
import type { HostContext } from '../session/model/host-context.js';

const TIMEOUT_MS = 10_000;
/** How long to wait until the next run takes what came to one that was over. */
const ASK_PAUSE_MS = 100;
/** Of gRPC, where trying again gives the same answer. */
const INVALID_ARGUMENT = 3;
/** The server's word where only this run of the workflow takes no more: the next one does. */
const FULL = 'limit for signal events';

function isRefusedForGood(error: unknown): boolean {
  if (!(error instanceof Error) || !isGrpcServiceError(error.cause)) return false;
  const { code, details } = error.cause;
  return Number(code) === INVALID_ARGUMENT && !details.includes(FULL);
}

/** Queries, signals and updates of a host to the workflows of its tasks, each within a deadline. */
export const workflowCalls = (
  temporal: TemporalAccess,
): Pick<HostContext, 'signalWorkflow' | 'decidePermission' | 'isRunning' | 'hostsInUse'> => ({
  signalWorkflow: signaller(temporal),
  decidePermission: decider(temporal),
  isRunning: watcherOf(temporal),
  hostsInUse: (signal) =>
    // It ends the calls under way; one that is begun after it continues.
    temporal.client.withAbortSignal(signal, () =>
      hostsInUse(createTaskClient({ client: temporal.client }), signal),
    ),
});

function signaller({ client, connection }: TemporalAccess): HostContext['signalWorkflow'] {
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

function watcherOf({ client, connection }: TemporalAccess): HostContext['isRunning'] {
  return async ({ taskId, runId }) => {
    const handle = lookingClient(client).workflow.getHandle(taskId);
    try {
      const found = await connection.withDeadline(Date.now() + TIMEOUT_MS, () => handle.describe());
      return found.status.name === 'RUNNING' && found.raw.workflowExecutionInfo?.firstRunId === runId;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  };
}

/** In ids of updates: they can be read in Temporal, and a decision may hold what somebody typed. */
const ID_KEY = randomBytes(32);

function decider({ client, connection }: TemporalAccess): HostContext['decidePermission'] {
  return async ({ taskId, runId }, decision) => {
    const handle = client.workflow.getHandle(taskId, undefined, { firstExecutionRunId: runId });
    // The answer to an update may be lost: a repeated one gets the outcome of the first.
    const digest = createHmac('sha256', ID_KEY).update(JSON.stringify(decision)).digest('base64url');
    const options = { updateId: `http-${digest}`, args: [decision] as [PermissionDecision] };
    const until = Date.now() + TIMEOUT_MS;
    for (;;)
      try {
        await connection.withDeadline(until, () => handle.executeUpdate(decidePermissionUpdate, options));
        return 'taken';
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return 'workflow-gone';
        if (!(error instanceof WorkflowUpdateFailedError)) throw error;
        const refusal = readRefusal(decision.requestId, error.cause?.message ?? '');
        if (refusal) return refusal;
        if (!isUnprocessed(error) || Date.now() > until) throw error;
        await delay(ASK_PAUSE_MS);
      }
  };
}
