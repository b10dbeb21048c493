import { setTimeout as sleep } from 'node:timers/promises';
import type { TaskState } from '../../src/contract/index.js';
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

/** Within this time after an outage each task goes on by itself. */
const BACK_MS = 60_000;
const LOOK_MS = 250;
const AWAY: readonly TaskState[] = ['recovering', 'waiting-for-host'];

/** What is wrong with a task that does not go on within a minute; null: it does, or has ended. */
export async function notBack(
  stack: ChaosStack,
  taskId: string,
  signal: AbortSignal,
): Promise<string | null> {
  const since = performance.now();
  const task = stack.client.handle(taskId);
  let seen = 'no answer';
  while (performance.now() - since < BACK_MS && !signal.aborted) {
    seen = await task.status().then(
      ({ state }) => state,
      (error: unknown) => String(error),
    );
    const isThere = !AWAY.includes(seen as TaskState) && /^[a-z-]+$/.test(seen);
    // One that was not started yet has nothing to go on with.
    if (isThere || seen.includes('not found')) return null;
    await sleep(LOOK_MS);
  }
  return signal.aborted ? null : `${taskId} is not back after ${BACK_MS} ms: ${seen}`;
}
