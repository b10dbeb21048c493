import { CancellationScope, isCancellation, sleep, workflowInfo } from '@temporalio/workflow';
import type { LeaseRef, SessionEnd } from '../step-arguments.js';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract.js';
import { parseTaskInput } from '../task-input.js';
import { takePlace, type Place } from './place.js';
import { runSession, succeed } from './session.js';
import { failure, failureType, firstToSettle, taskFailure } from './settle.js';
import { isHostGone, throughRestarts } from './restarts.js';
import { afterExecution, refreshInput } from './execution-hooks.js';
import { serveErrands } from './errands.js';
import { judgeRequests } from './judge.js';
import { hostSteps, type HostSteps } from './steps.js';
import { refuseUnsupported } from './unsupported.js';
import { openTask, type Task } from './task.js';
import { tearDown, type Ending } from './tear-down.js';

/**
 * A codex task: a credential, a host, codex on it until the conversation ends, and everything put back.
 * Fails with an `ApplicationFailure` whose type is one of `errors.ts`.
 */
export async function codexTask(input?: CodexTaskInput): Promise<CodexTaskResult> {
  let task: Task | null = null;
  try {
    const spec = parseTaskInput(input, workflowInfo().workflowId);
    refuseUnsupported(spec);
    task = openTask(spec);
    const outcome = await withinTotal(task, (opened) => execute(opened, input));
    task.enter('completed');
    return resultOf(task, outcome);
  } catch (error) {
    task?.enter(isCancellation(error) ? 'cancelled' : 'failed');
    throw taskFailure(error);
  }
}

/** The task between its hooks. */
async function execute(task: Task, input: CodexTaskInput | undefined): Promise<Outcome> {
  let ending: Ending;
  try {
    if (task.spec.resume && task.spec.hooks.onResumeRefresh) await refreshInput(task, input);
    ending = { outcome: await untilItEnds(task) };
  } catch (error) {
    ending = { error };
  }
  try {
    await afterExecution(task, ending);
  } catch (error) {
    if ('outcome' in ending) throw error;
  }
  if ('error' in ending) throw ending.error;
  return ending.outcome;
}

/** A lease that was taken before codex started costs another try, not the task. */
async function untilItEnds(task: Task): Promise<Outcome> {
  for (;;) {
    const place = await takePlace(task);
    if (!place) return 'closed';
    const outcome = await stay(task, place);
    if (outcome !== 'again') return outcome;
  }
}

async function stay(task: Task, place: Place): Promise<Outcome | 'again'> {
  const host = hostSteps(place.hostId);
  const { lease } = place;
  let ending: Ending = { outcome: 'closed' };
  try {
    const end = await firstToSettle<Pick<SessionEnd, 'end'>>(
      () => runSession(task, place, host),
      () => serveErrands(task),
      () => judgeRequests(task),
      ...(lease ? [() => keepWatch(task, host, lease)] : []),
    );
    ending = { outcome: succeed(end) };
    return ending.outcome;
  } catch (error) {
    ending = { error };
    if (isBeforeCodex(task, error)) return 'again';
    throw error;
  } finally {
    await CancellationScope.nonCancellable(() => tearDown(task, place, host, ending));
  }
}

/** What went wrong before codex ran costs nothing but another try elsewhere. */
function isBeforeCodex(task: Task, error: unknown): boolean {
  const type = failureType(error);
  if (type === 'LeaseRefused' || type === 'ClaimLapsed') return true;
  return task.status.threadId === null && (type === 'SessionNotHere' || isHostGone(error));
}

const keepWatch = (task: Task, host: HostSteps, lease: LeaseRef) =>
  throughRestarts(task, () => {
    const isLaunched = task.status.threadId !== null;
    return host.watchCredential({ ref: task.ref, lease, isLaunched });
  });

async function withinTotal(task: Task, run: (task: Task) => Promise<Outcome>): Promise<Outcome> {
  const { totalMs } = task.spec.limits;
  if (totalMs === null) return run(task);
  return firstToSettle(
    () => run(task),
    async () => {
      await sleep(totalMs);
      task.overdue = true;
      throw failure('TaskTimedOut', `The task ran longer than limits.totalMs (${totalMs} ms)`);
    },
  );
}

function resultOf(task: Task, outcome: Outcome): CodexTaskResult {
  const { taskId, threadId, turns, usage } = task.status;
  return {
    taskId,
    threadId,
    outcome,
    ...task.result,
    turns,
    usage,
    deliverables: task.errands.deliverables(),
  };
}
