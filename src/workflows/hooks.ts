import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  proxyActivities,
  TimeoutFailure,
  type ActivityOptions,
} from '@temporalio/workflow';
import type { HookArguments, HookName, HookResults, HookTarget } from '../contract/index.js';
import { parseHookAnswer } from '../input/hook-answers.js';
import { readOnce } from './readable.js';
import type { Task } from './task.js';

/** How long a hook may wait for a worker before a warning is shown. */
const NOTICED = '10s';
const ATTEMPT_MS = 600_000;
/** About four minutes of trying, longer than a restart of the caller's worker or database. */
const ATTEMPTS = 10;

export interface HookCall {
  /** How long the task waits for a worker once its absence was said; default: for ever. */
  untakenMs?: number;
  attempts?: number;
}

/**
 * Calls a hook and waits for its answer, on a queue that may have no worker yet; null when the task has no such
 * hook.
 * @throws ActivityFailure when the hook failed for good
 * @throws TaskError `BadInput` when its answer is none
 */
export async function callHook<N extends HookName>(
  task: Task,
  name: N,
  argument: HookArguments[N],
  { untakenMs, attempts = ATTEMPTS }: HookCall = {},
): Promise<HookResults[N] | null> {
  const target = task.spec.hooks[name];
  if (!target) return null;
  const done = task.waitFor(`waiting for hook ${name} on ${target.taskQueue}`);
  const call = (wait: Pick<ActivityOptions, 'scheduleToStartTimeout'>) =>
    activityOf(target, name, attempts, wait)(argument);
  try {
    return parseHookAnswer(name, readOnce(await call({ scheduleToStartTimeout: NOTICED })));
  } catch (error) {
    if (!isUntaken(error)) throw error;
    task.warn(`No worker took hook ${name} for ${NOTICED}: start one that polls ${target.taskQueue}`);
    task.show();
    const wait = untakenMs === undefined ? {} : { scheduleToStartTimeout: untakenMs };
    return parseHookAnswer(name, readOnce(await call(wait)));
  } finally {
    done();
  }
}

/** What a hook that failed said. */
export function hookFault(error: unknown): string {
  if (!(error instanceof ActivityFailure)) return error instanceof Error ? error.message : String(error);
  const { cause } = error;
  if (cause instanceof TimeoutFailure) return `timed out (${cause.timeoutType})`;
  return cause instanceof ApplicationFailure ? cause.message : error.message;
}

function activityOf(
  target: HookTarget,
  name: HookName,
  maximumAttempts: number,
  wait: Pick<ActivityOptions, 'scheduleToStartTimeout'>,
): (argument: unknown) => Promise<unknown> {
  const activities = proxyActivities<Record<string, (argument: unknown) => Promise<unknown>>>({
    taskQueue: target.taskQueue,
    startToCloseTimeout: target.timeoutMs ?? ATTEMPT_MS,
    ...(target.heartbeatMs !== undefined && { heartbeatTimeout: target.heartbeatMs }),
    ...wait,
    // Nobody waits for a hook that is no longer wanted.
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    retry: { initialInterval: '1s', maximumInterval: '1 minute', maximumAttempts },
    summary: `Hook ${name}`,
  });
  return activities[target.activityType]!;
}

const isUntaken = (error: unknown): boolean =>
  error instanceof ActivityFailure &&
  error.cause instanceof TimeoutFailure &&
  error.cause.timeoutType === 'SCHEDULE_TO_START';
