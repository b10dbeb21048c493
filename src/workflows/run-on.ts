import { CancellationScope } from '@temporalio/workflow';
import type { SessionEnd } from '../contract/activities.js';
import type { Outcome } from '../contract/index.js';
import { isContinuing, unlessCancelled } from './continue-as-new.js';
import { serveErrands } from './hook-requests.js';
import { judgeRequests } from './permission-hook.js';
import { park, unpark } from './parking.js';
import { isHostGone } from './restarts.js';
import { runSession, succeed } from './session.js';
import { failureType, firstToSettle } from './settle.js';
import { refOf } from './assign.js';
import { isInVain, noteRefusal } from './refusals.js';
import { hostSteps, type HostSteps } from './activity-proxies.js';
import type { Task } from './task.js';
import { tearDown } from './tear-down.js';
import { beginEnding } from './too-late.js';
import type { Stay } from './assignment.js';
import type { Ending } from './ending.js';
import { UnfitHost } from './unfit-host.js';

/** Works on one host until the task ends there; `again`: it did not come so far that codex ran; `host-gone`: nothing was put back. */
export async function stayOn(task: Task, stay: Stay): Promise<Outcome | 'again' | 'host-gone'> {
  const host = hostSteps(task, stay.place);
  task.stay = stay;
  task.ref = refOf(task, stay.stayId);
  let ending: Ending | null = { outcome: 'closed' };
  let goesOn = false;
  try {
    const end = await untilSessionEnds(task, stay, host);
    ending = { outcome: end === 'closed' ? end : succeed(end) };
    return ending.outcome;
  } catch (caught) {
    const error = unlessCancelled(caught);
    const leaves = error instanceof UnfitHost && task.launched;
    ending = isContinuing(error) || isHostGone(error) || leaves ? null : { error };
    if (isHostGone(error)) return 'host-gone';
    if (stay.isAdopted && stay.at === 'new' && failureType(error) !== undefined) {
      // It cannot go on as it is: what is there of it is saved before the next stay begins.
      ending = null;
      task.stay = null;
      return 'again';
    }
    if (error instanceof UnfitHost) {
      noteRefusal(task, stay.place.hostId, error);
      // Codex ran there: what it did is to be saved, so the host is asked to let the task go.
      if (task.launched) return leaveUnfit(stay, error);
    }
    goesOn = error instanceof UnfitHost ? !isInVain(task, error) : isBeforeCodex(task, error);
    if (goesOn) return 'again';
    throw error;
  } finally {
    const ended = ending;
    if (ended) {
      if (!goesOn) beginEnding(task);
      await CancellationScope.nonCancellable(() => tearDown(task, stay.place, ended));
      task.stay = null;
    }
  }
}

function leaveUnfit(stay: Stay, { message }: UnfitHost): 'host-gone' {
  stay.unfit = message;
  return 'host-gone';
}

type Ended = Pick<SessionEnd, 'end'>;

/** One session after another, each with a credential that has quota. */
async function untilSessionEnds(task: Task, stay: Stay, host: HostSteps): Promise<Ended | 'closed'> {
  for (;;) {
    if (stay.at === 'parked' && !(await unpark(task, stay, host))) return 'closed';
    const session = await sessionOn(task, stay, host);
    if (session === 'refused') continue;
    if (session.end.kind !== 'limited') return session;
    if (task.closing) return 'closed';
    await park(task, stay, host, session.end);
  }
}

/** `refused`: the seed of a task that was parked went to another before codex ran on it. It waits on, parked. */
async function sessionOn(task: Task, stay: Stay, host: HostSteps): Promise<Ended | 'refused'> {
  try {
    return await firstToSettle<Ended>(
      () => runSession(task, stay, host),
      () => serveErrands(task),
      () => judgeRequests(task),
    );
  } catch (error) {
    if (stay.at !== 'ready' || failureType(error) !== 'LeaseRefused') throw error;
    stay.place = { ...stay.place, lease: null };
    stay.at = 'parked';
    return 'refused';
  }
}

/** What went wrong before codex ran costs nothing but another try elsewhere. */
function isBeforeCodex(task: Task, error: unknown): boolean {
  const type = failureType(error);
  if (type === 'LeaseRefused' || type === 'ClaimLapsed') return true;
  return !task.launched && type === 'SessionNotHere';
}
