import { CancellationScope } from '@temporalio/workflow';
import type { Outcome } from '../contract/index.js';
import { hostProxy, type HostProxy } from './activity-proxies.js';
import type { Assignment, Placed } from './assignment.js';
import { isContinuing, unlessCancelled } from './continue-as-new.js';
import type { Ending } from './ending.js';
import { isInVain, noteRefusal } from './refusals.js';
import { isHostGone } from './restarts.js';
import { failureType } from './failures.js';
import type { Task } from './task.js';
import { tearDown } from './tear-down.js';
import { beginEnding } from './too-late.js';
import { UnfitHost } from './unfit-host.js';

/**
 * `again`: Codex never ran there, so the task begins again; `host-gone`: the host is lost or evicts the task, and
 * nothing was torn down.
 */
export type EndOnHost = Outcome | 'again' | 'host-gone';

/**
 * Works on one host until the task ends there, and tears down, except where the task continues with what is there.
 * @throws what the task ends with; ContinueInNextRun
 */
export async function withTearDown(
  task: Task,
  assignment: Placed,
  work: (host: HostProxy) => Promise<Outcome>,
): Promise<EndOnHost> {
  let ending: Ending;
  try {
    ending = { outcome: await work(hostProxy(task, assignment)) };
  } catch (caught) {
    const error = unlessCancelled(caught);
    if (isContinuing(error)) throw error;
    if (isHostGone(error)) return 'host-gone';
    if (assignment.isAdopted && assignment.stage === 'new' && failureType(error) !== undefined) {
      // Saves what is there before the next assignment begins.
      assignment.stage = 'ended';
      return 'again';
    }
    if (error instanceof UnfitHost) {
      noteRefusal(task, assignment.hostId, error);
      // Codex ran there and its work has to be saved, so the host is asked to evict the task.
      if (assignment.codexStarted) return leaveUnfit(assignment, error);
    }
    ending = { error };
  }
  const goesOn = 'error' in ending && mayTryAgain(task, assignment, ending.error);
  if (!goesOn) beginEnding(task);
  await CancellationScope.nonCancellable(() => tearDown(task, assignment, ending));
  assignment.stage = 'ended';
  if (goesOn) return 'again';
  if ('error' in ending) throw ending.error;
  return ending.outcome;
}

function leaveUnfit(assignment: Assignment, { message }: UnfitHost): 'host-gone' {
  assignment.unfit = message;
  return 'host-gone';
}

/** An error before Codex ran costs only another attempt elsewhere. */
function mayTryAgain(task: Task, { codexStarted }: Assignment, error: unknown): boolean {
  if (error instanceof UnfitHost) return !isInVain(task, error);
  const type = failureType(error);
  if (type === 'LeaseRefused' || type === 'ClaimLapsed') return true;
  return !codexStarted && type === 'SessionNotHere';
}
