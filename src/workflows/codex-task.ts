import { CancellationScope, isCancellation, sleep, workflowInfo } from '@temporalio/workflow';
import type { LeaseRef, SessionEnd } from '../step-arguments.js';
import type { CodexTaskInput, CodexTaskResult, Outcome } from '../contract.js';
import { parseTaskInput } from '../task-input.js';
import { takeNextPlace } from './move.js';
import { takePlace, type Place } from './place.js';
import { runSession, succeed } from './session.js';
import { failure, failureType, firstToSettle, taskFailure } from './settle.js';
import { isHostGone, throughRestarts } from './restarts.js';
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
    const outcome = await withinTotal(task, untilItEnds);
    task.enter('completed');
    return resultOf(task, outcome);
  } catch (error) {
    task?.enter(isCancellation(error) ? 'cancelled' : 'failed');
    throw taskFailure(error);
  }
}

/** Neither a lease that was taken before codex started nor the loss of a host costs the task. */
async function untilItEnds(task: Task): Promise<Outcome> {
  let place = await takePlace(task);
  while (place) {
    const outcome = await stay(task, place);
    if (outcome === 'again') place = await takePlace(task);
    else if (outcome === 'host-gone') place = await takeNextPlace(task, place);
    else return outcome;
  }
  return 'closed';
}

async function stay(task: Task, place: Place): Promise<Outcome | 'again' | 'host-gone'> {
  const host = hostSteps(place.hostId, place.ttlMs);
  const { lease } = place;
  let ending: Ending | null = { outcome: 'closed' };
  try {
    const end = await firstToSettle<SessionEnd>(
      () => runSession(task, place, host),
      ...(lease ? [() => keepWatch(task, host, lease)] : []),
    );
    ending = { outcome: succeed(end) };
    return ending.outcome;
  } catch (error) {
    ending = isHostGone(error) ? null : { error };
    if (!ending) return 'host-gone';
    if (isBeforeCodex(task, error)) return 'again';
    throw error;
  } finally {
    const left = ending;
    if (left) await CancellationScope.nonCancellable(() => tearDown(task, place, host, left));
  }
}

/** What went wrong before codex ran costs nothing but another try elsewhere. */
function isBeforeCodex(task: Task, error: unknown): boolean {
  const type = failureType(error);
  if (type === 'LeaseRefused' || type === 'ClaimLapsed') return true;
  return !task.launched && type === 'SessionNotHere';
}

const keepWatch = (task: Task, host: HostSteps, lease: LeaseRef) =>
  throughRestarts(task, () => host.watchCredential({ ref: task.ref, lease, isLaunched: task.launched }));

async function withinTotal(task: Task, run: (task: Task) => Promise<Outcome>): Promise<Outcome> {
  const { totalMs } = task.spec.limits;
  if (totalMs === null) return run(task);
  return firstToSettle(
    () => run(task),
    async () => {
      await sleep(totalMs);
      throw failure('TaskTimedOut', `The task ran longer than limits.totalMs (${totalMs} ms)`);
    },
  );
}

function resultOf(task: Task, outcome: Outcome): CodexTaskResult {
  const { taskId, threadId, turns, usage } = task.status;
  return { taskId, threadId, outcome, ...task.result, turns, usage, deliverables: [] };
}
