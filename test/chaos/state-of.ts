import type { ChaosStack } from './chaos-stack.js';

/** How a task stands that did not come to its end in time, for whoever reads the failure. */
export async function stateOf(stack: ChaosStack, taskId: string): Promise<string> {
  const task = stack.client.handle(taskId);
  const status = await task.status().catch(String);
  if (typeof status === 'string') return status;
  const { state, turns, threadId, pending, warnings, lastError } = status;
  const { raw } = await task.describe();
  const steps = raw.pendingActivities?.map(({ activityType, attempt, lastFailure }) =>
    [activityType?.name, attempt, lastFailure?.message].join(' '),
  );
  return JSON.stringify({ state, turns, threadId, pending: pending.length, warnings, lastError, steps });
}
