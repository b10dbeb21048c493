import { isCancellation, workflowInfo } from '@temporalio/workflow';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract/index.js';
import { carriedTask, keptInputOf, readInput } from './carried-task.js';
import { continueTask, isContinuing, unlessCancelled } from './continue-as-new.js';
import { judgeOnce } from './judge-input.js';
import { openTask } from './open-task.js';
import { taskFailure } from './failures.js';
import { withoutStrays } from './strays.js';
import type { Task } from './task.js';

/**
 * Opens a task from its input or its carried state, and ends this run as `live` ends: with a result, with a failure,
 * or in the next run.
 * @param given the input, perhaps without what the run before stored in the database
 * @throws ApplicationFailure, CancelledFailure
 */
export async function withTask(
  given: CodexTaskInput | undefined,
  past: unknown,
  live: (task: Task, input: CodexTaskInput | undefined) => Promise<Outcome>,
): Promise<CodexTaskResult> {
  const carried = carriedTask(past);
  let task: Task | null = null;
  let input = given;
  try {
    const kept = carried ? null : keptInputOf(past);
    if (kept) input = await readInput(kept);
    // The first run has validated it.
    const spec = carried?.spec ?? judgeOnce(input, workflowInfo().workflowId, 'input-refused');
    const opened = (task = openTask(spec, carried));
    const outcome = await withoutStrays(opened, () => live(opened, input));
    task.enter('completed');
    return resultOf(task, outcome);
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (task && isContinuing(error)) return await continueTask(input, task);
    task?.enter(isCancellation(error) ? 'cancelled' : 'failed');
    throw taskFailure(error);
  }
}

function resultOf({ state, hookRequests }: Task, outcome: Outcome): CodexTaskResult {
  const { taskId, threadId, turns, usage } = state.status;
  const { omitted } = hookRequests;
  return {
    taskId,
    threadId,
    outcome,
    ...state.result,
    turns,
    usage,
    deliverables: hookRequests.deliverables(),
    ...(omitted > 0 && { deliverablesOmitted: omitted }),
  };
}
