import { condition, proxyActivities, setHandler, upsertMemo, workflowInfo } from '@temporalio/workflow';
import {
  closeSignal,
  hostRestartedSignal,
  sessionChangedSignal,
  stateQuery,
} from '../../src/contract/index.js';

/** Nobody works on it but a test that takes this task's step and never ends it. */
export const stepQueueOf = (workflowId: string) => `steps-of-${workflowId}`;
/** How long a step may take in all: it runs out while a worker keeps a workflow task that it never answers. */
const STEP_SECONDS = 10;

/** Does things in its signal handlers, and others when all signals of an activation are in, as `codexTask` does. */
export async function splitTask(): Promise<void> {
  const { step } = proxyActivities<{ step(): Promise<void> }>({
    scheduleToCloseTimeout: `${STEP_SECONDS} seconds`,
    taskQueue: stepQueueOf(workflowInfo().workflowId),
    retry: { maximumAttempts: 1 },
  });
  let restarts = 0;
  let closing = false;
  setHandler(sessionChangedSignal, ({ revision }) => upsertMemo({ revision }));
  setHandler(hostRestartedSignal, () => void restarts++);
  setHandler(closeSignal, () => void (closing = true));
  setHandler(stateQuery, () => ({ turns: restarts }) as never);
  for (let seen = 0; ; seen = restarts) {
    await condition(() => closing || restarts > seen);
    if (closing) return;
    void step().catch(() => undefined);
  }
}
