import { isCancellation, sleep, workflowInfo } from '@temporalio/workflow';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract/index.js';
import { carriedTask, keptInputOf, readInput } from './carried-task.js';
import { continueTask, isContinuing, unlessCancelled } from './continue-as-new.js';
import { afterExecution, refreshInput } from './execution-hooks.js';
import { forget, forgetAll, read } from './keep.js';
import { asJudged, judgeOnce } from './judge-input.js';
import { failOver } from './fail-over.js';
import { assign } from './assign.js';
import { isPlaced } from './assignment.js';
import { beforeNextTry } from './refusals.js';
import { failure, firstToSettle, taskFailure } from './settle.js';
import { runOn } from './run-on.js';
import { type Task } from './task.js';
import { withoutStrays } from './strays.js';
import { beginEnding } from './too-late.js';
import { carryEnding, endingFrom, type Ending } from './ending.js';
import type { CarriedTask } from './task-state.js';
import { openTask } from './open-task.js';

/**
 * Leases a credential, claims a host, runs Codex there until the session ends, and always cleans up.
 * Fails with an `ApplicationFailure` whose type is one of `errors.ts`.
 * @param past what an earlier run of it knew; callers give none
 */
export async function codexTask(given?: CodexTaskInput, past?: CarriedTask): Promise<CodexTaskResult> {
  const carried = carriedTask(past);
  let task: Task | null = null;
  let input = given;
  try {
    const kept = carried ? null : keptInputOf(past);
    if (kept) input = await readInput(kept);
    // It was judged by the first run.
    const spec = carried?.spec ?? judgeOnce(input, workflowInfo().workflowId, 'input-refused');
    const opened = (task = openTask(spec, carried));
    const outcome = await withoutStrays(opened, () => withinTotal(opened, () => execute(opened, input)));
    task.enter('completed');
    return resultOf(task, outcome);
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (task && isContinuing(error)) return await continueTask(input, task);
    task?.enter(isCancellation(error) ? 'cancelled' : 'failed');
    throw taskFailure(error);
  }
}

/** The task between its hooks. */
async function execute(task: Task, input: CodexTaskInput | undefined): Promise<Outcome> {
  const { state } = task;
  const ending = state.ending ? endingFrom(state.ending) : await endingOf(task, input);
  state.ending = carryEnding(ending);
  beginEnding(task);
  try {
    await afterExecution(task, ending);
  } catch (error) {
    if ('outcome' in ending || isContinuing(unlessCancelled(error))) throw error;
  }
  await forgetAll(task);
  if ('error' in ending) throw ending.error;
  return ending.outcome;
}

async function endingOf(task: Task, input: CodexTaskInput | undefined): Promise<Ending> {
  try {
    const { state } = task;
    if (state.refreshing) await refreshInput(task, state.keptInput ? await givenInput(task) : input);
    state.refreshing = false;
    return { outcome: await untilItEnds(task) };
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (isContinuing(error)) throw error;
    return { error };
  }
}

/** The input with which a task began in an earlier run; from here on it is whole again. */
async function givenInput(task: Task): Promise<CodexTaskInput> {
  const { spec, state } = task;
  const { keptInput, keptSpec } = state;
  const input = (await read(keptInput!)) as CodexTaskInput;
  Object.assign(spec, asJudged(input, spec.taskId));
  state.keptSpec = null;
  if (keptSpec) await forget([keptSpec]);
  return input;
}

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 60_000;

/** Neither a lease that was taken before codex started nor the loss of a host costs the task. */
async function untilItEnds(task: Task): Promise<Outcome> {
  const { state } = task;
  let assignment = isPlaced(state.assignment) ? state.assignment : await assign(task);
  while (assignment) {
    const outcome: Outcome | 'again' | 'host-gone' = assignment.isLost
      ? 'host-gone'
      : await runOn(task, assignment);
    if (outcome === 'again') {
      if (assignment.codexStarted) state.triesInVain = 0;
      await beforeNextTry(task, pauseBeforeTry(state.triesInVain, Math.random()));
      assignment = await assign(task);
    } else if (outcome === 'host-gone') assignment = await failOver(task, assignment);
    else return outcome;
  }
  return 'closed';
}

/**
 * Milliseconds before another try.
 * @param tries how many came to nothing
 * @param chance from 0 to 1: keeps tasks that fail together from trying together
 */
export const pauseBeforeTry = (tries: number, chance: number): number =>
  Math.min(FIRST_PAUSE_MS * 2 ** tries, LAST_PAUSE_MS) * (0.5 + chance * 0.5);

async function withinTotal(task: Task, run: () => Promise<Outcome>): Promise<Outcome> {
  const { totalMs } = task.spec.limits;
  if (totalMs === null) return run();
  return firstToSettle(run, async () => {
    await sleep(Math.max(task.state.startedAtMs + totalMs - Date.now(), 1));
    task.run.isOverdue = true;
    throw failure('TaskTimedOut', `The task ran longer than limits.totalMs (${totalMs} ms)`);
  });
}

function resultOf(task: Task, outcome: Outcome): CodexTaskResult {
  const { taskId, threadId, turns, usage } = task.state.status;
  const { omitted } = task.hookRequests;
  return {
    taskId,
    threadId,
    outcome,
    ...task.state.result,
    turns,
    usage,
    deliverables: task.hookRequests.deliverables(),
    ...(omitted > 0 && { deliverablesOmitted: omitted }),
  };
}
