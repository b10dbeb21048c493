import { CancellationScope } from '@temporalio/workflow';
import type { SessionEnd } from '../contract/activities.js';
import type { Outcome } from '../contract/index.js';
import { isContinuing, unlessCancelled } from './continue-as-new.js';
import { serveHookRequests } from './hook-requests.js';
import { askPermissionHook } from './permission-hook.js';
import { park, unpark } from './parking.js';
import { isHostGone } from './restarts.js';
import { runSession, requireSuccess } from './session.js';
import { failureType, firstToSettle } from './settle.js';
import { isInVain, noteRefusal } from './refusals.js';
import { hostProxy, type HostProxy } from './activity-proxies.js';
import type { Task } from './task.js';
import { tearDown } from './tear-down.js';
import { beginEnding } from './too-late.js';
import type { Assignment, Placed } from './assignment.js';
import type { Ending } from './ending.js';
import { UnfitHost } from './unfit-host.js';

/** Works on one host until the task ends there; `again`: Codex never started; `host-gone`: no teardown ran. */
export async function runOn(task: Task, assignment: Placed): Promise<Outcome | 'again' | 'host-gone'> {
  const host = hostProxy(task, assignment);
  let ending: Ending | null = { outcome: 'closed' };
  let goesOn = false;
  try {
    const end = await untilSessionEnds(task, assignment, host);
    ending = { outcome: end === 'closed' ? end : requireSuccess(end) };
    return ending.outcome;
  } catch (caught) {
    const error = unlessCancelled(caught);
    const leaves = error instanceof UnfitHost && assignment.codexStarted;
    ending = isContinuing(error) || isHostGone(error) || leaves ? null : { error };
    if (isHostGone(error)) return 'host-gone';
    if (assignment.isAdopted && assignment.stage === 'new' && failureType(error) !== undefined) {
      // It cannot go on as it is: what is there of it is saved before the next assignment begins.
      ending = null;
      assignment.stage = 'ended';
      return 'again';
    }
    if (error instanceof UnfitHost) {
      noteRefusal(task, assignment.hostId, error);
      // Codex ran there: what it did is to be saved, so the host is asked to let the task go.
      if (assignment.codexStarted) return leaveUnfit(assignment, error);
    }
    goesOn = error instanceof UnfitHost ? !isInVain(task, error) : isBeforeCodex(assignment, error);
    if (goesOn) return 'again';
    throw error;
  } finally {
    const ended = ending;
    if (ended) {
      if (!goesOn) beginEnding(task);
      await CancellationScope.nonCancellable(() => tearDown(task, assignment, ended));
      assignment.stage = 'ended';
    }
  }
}

function leaveUnfit(assignment: Assignment, { message }: UnfitHost): 'host-gone' {
  assignment.unfit = message;
  return 'host-gone';
}

type Ended = Pick<SessionEnd, 'end'>;

/** One session after another, each with a credential that has quota. */
async function untilSessionEnds(task: Task, assignment: Placed, host: HostProxy): Promise<Ended | 'closed'> {
  for (;;) {
    if (assignment.stage === 'parked' && !(await unpark(task, assignment, host))) return 'closed';
    const session = await sessionOn(task, assignment, host);
    if (session === 'refused') continue;
    if (session.end.kind !== 'limited') return session;
    if (task.state.closing) return 'closed';
    await park(task, assignment, host, session.end);
  }
}

/** `refused`: the seed of a task that was parked went to another before codex ran on it. It waits on, parked. */
async function sessionOn(task: Task, assignment: Placed, host: HostProxy): Promise<Ended | 'refused'> {
  try {
    return await firstToSettle<Ended>(
      () => runSession(task, assignment, host),
      () => serveHookRequests(task),
      () => askPermissionHook(task),
    );
  } catch (error) {
    if (assignment.stage !== 'ready' || failureType(error) !== 'LeaseRefused') throw error;
    assignment.lease = null;
    assignment.stage = 'parked';
    return 'refused';
  }
}

/** What went wrong before codex ran costs nothing but another try elsewhere. */
function isBeforeCodex({ codexStarted }: Assignment, error: unknown): boolean {
  const type = failureType(error);
  if (type === 'LeaseRefused' || type === 'ClaimLapsed') return true;
  return !codexStarted && type === 'SessionNotHere';
}
