import { sleep } from '@temporalio/workflow';
import type { Outcome } from '../contract/index.js';
import { failure } from './failures.js';
import { raceInScope } from './race.js';
import type { Task } from './task.js';

/**
 * Runs the task for at most `limits.totalMs`, counted from its first run on, and waits for its teardown.
 * @throws ApplicationFailure `TaskTimedOut`
 */
export async function withinTotal(task: Task, run: () => Promise<Outcome>): Promise<Outcome> {
  const { totalMs } = task.spec.limits;
  if (totalMs === null) return run();
  return raceInScope(run, async () => {
    await sleep(Math.max(task.state.startedAtMs + totalMs - Date.now(), 1));
    task.run.isOverdue = true;
    throw failure('TaskTimedOut', `The task ran longer than limits.totalMs (${totalMs} ms)`);
  });
}
