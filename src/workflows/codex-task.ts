import { isCancellation, sleep, uuid4, workflowInfo } from '@temporalio/workflow';
import type { Held } from '../contract/activities.js';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract/index.js';
import { carriedTask, keptInputOf, readInput } from './carried-task.js';
import { continueTask, isContinuing, unlessCancelled } from './continue-as-new.js';
import { afterExecution, refreshInput } from './execution-hooks.js';
import { forget, forgetAll, read } from './keep.js';
import { asJudged, judgeOnce } from './judge-input.js';
import { failOver } from './fail-over.js';
import { AssignmentGoesOn } from './make-way.js';
import { refOf, assign, takeUp } from './assign.js';
import { beforeNextTry } from './refusals.js';
import { failure, firstToSettle, taskFailure } from './settle.js';
import { runOn } from './run-on.js';
import { type Task } from './task.js';
import { withoutStrays } from './strays.js';
import { beginEnding } from './too-late.js';
import type { Assignment } from './assignment.js';
import type { Ending } from './ending.js';
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
  const ending = task.ending ?? (task.ending = await endingOf(task, input));
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
    if (task.refreshing) await refreshInput(task, task.keptInput ? await givenInput(task) : input);
    task.refreshing = false;
    return { outcome: await untilItEnds(task) };
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (isContinuing(error)) throw error;
    return { error };
  }
}

/** The input with which a task began in an earlier run; from here on it is whole again. */
async function givenInput(task: Task): Promise<CodexTaskInput> {
  const { keptInput, keptSpec, spec } = task;
  const input = (await read(keptInput!)) as CodexTaskInput;
  Object.assign(spec, asJudged(input, spec.taskId));
  task.keptSpec = null;
  if (keptSpec) await forget([keptSpec]);
  return input;
}

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 60_000;

/** Neither a lease that was taken before codex started nor the loss of a host costs the task. */
async function untilItEnds(task: Task): Promise<Outcome> {
  let assignment = task.assignment ?? (await nextAssignment(task));
  while (assignment) {
    const outcome: Outcome | 'again' | 'host-gone' = assignment.isLost
      ? 'host-gone'
      : await runOn(task, assignment);
    if (outcome === 'again') {
      task.assignment = null;
      if (task.codexStarted) task.vain = 0;
      await beforeNextTry(task, pauseBeforeTry(task.vain, Math.random()));
      task.ref = refOf(task, uuid4());
      assignment = await nextAssignment(task);
    } else if (outcome === 'host-gone') assignment = await failOver(task, assignment);
    else return outcome;
  }
  return 'closed';
}

/** The session that an earlier run of the same chain left, as its host has it. */
function adopt(task: Task, { by, hostId, generation: ordinal, lease, ttlMs }: Held): Assignment {
  const place = takeUp(task, { hostId, ...(ttlMs !== undefined && { ttlMs }) }, lease);
  task.codexStarted = true;
  task.moved = ordinal > 0 ? { from: hostId, generation: ordinal, lastEventId: 0, requests: [] } : null;
  return { assignmentId: by.assignmentId, place, stage: 'new', isAdopted: true };
}

/**
 * Milliseconds before another try.
 * @param tries how many came to nothing
 * @param chance from 0 to 1: keeps tasks that fail together from trying together
 */
export const pauseBeforeTry = (tries: number, chance: number): number =>
  Math.min(FIRST_PAUSE_MS * 2 ** tries, LAST_PAUSE_MS) * (0.5 + chance * 0.5);

async function nextAssignment(task: Task): Promise<Assignment | null> {
  try {
    const place = await assign(task);
    return place && { assignmentId: task.ref.assignmentId, place, stage: 'new' };
  } catch (error) {
    if (!(error instanceof AssignmentGoesOn)) throw error;
    return adopt(task, error.held);
  } finally {
    task.mayAdopt = false;
  }
}

async function withinTotal(task: Task, run: () => Promise<Outcome>): Promise<Outcome> {
  const { totalMs } = task.spec.limits;
  if (totalMs === null) return run();
  return firstToSettle(run, async () => {
    await sleep(Math.max(task.startedAtMs + totalMs - Date.now(), 1));
    task.overdue = true;
    throw failure('TaskTimedOut', `The task ran longer than limits.totalMs (${totalMs} ms)`);
  });
}

function resultOf(task: Task, outcome: Outcome): CodexTaskResult {
  const { taskId, threadId, turns, usage } = task.status;
  const { omitted } = task.hookRequests;
  return {
    taskId,
    threadId,
    outcome,
    ...task.result,
    turns,
    usage,
    deliverables: task.hookRequests.deliverables(),
    ...(omitted > 0 && { deliverablesOmitted: omitted }),
  };
}
