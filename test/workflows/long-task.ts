import { randomUUID } from 'node:crypto';
import { WorkflowFailedError, type WorkflowService } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { asActivities } from '../../src/activities/as-activity.js';
import { CODEX_TASK, type CodexTaskInput, type CodexTaskResult } from '../../src/contract/index.js';
import { withTaskWorkers, type Handle } from './run-task.js';
import { stubs, type Stubs } from './stub-host.js';

export interface LongTask {
  handle: Handle;
  /** Names of the steps, in the order in which they began. */
  calls: string[];
}

/** Runs a task of which the runs are counted. */
export async function runLongTask(
  environment: TestWorkflowEnvironment,
  { input, steps }: { input: CodexTaskInput; steps: (handle: () => Handle) => Partial<Stubs> },
  during: (task: LongTask) => Promise<void>,
) {
  const calls: string[] = [];
  const workflowId = `long-${randomUUID()}`;
  const handle: Handle = environment.client.workflow.getHandle(workflowId);
  const all = asActivities(
    stubs(
      calls,
      steps(() => handle),
    ),
  );
  return withTaskWorkers(environment, { workflowId }, all, async (taskQueue) => {
    const { firstExecutionRunId } = await environment.client.workflow.start(CODEX_TASK, {
      taskQueue,
      workflowId,
      args: [input],
    });
    let result: CodexTaskResult | null = null;
    let failure: unknown = null;
    try {
      await during({ handle, calls });
      result = await handle.result();
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      failure = error.cause;
    }
    const runs = await runsOf(environment, workflowId, firstExecutionRunId);
    return { calls, handle, result, failure, runs };
  });
}

/** The number of events in each run of a workflow, first run first. A whole history may be too large to be fetched. */
async function runsOf(environment: TestWorkflowEnvironment, workflowId: string, firstRunId: string) {
  const { workflowService } = environment.client;
  const namespace = environment.namespace ?? 'default';
  const lengths: number[] = [];
  for (let runId: string | null | undefined = firstRunId; runId;) {
    const last = await lastEvent(workflowService, namespace, { workflowId, runId });
    lengths.push(Number(last?.eventId ?? 0));
    runId = last?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  }
  return lengths;
}

async function lastEvent(
  service: WorkflowService,
  namespace: string,
  execution: { workflowId: string; runId: string },
) {
  const asked = { namespace, execution, maximumPageSize: 1 };
  const { history } = await service.getWorkflowExecutionHistoryReverse(asked);
  return history?.events?.[0];
}
