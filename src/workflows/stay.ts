import { CancellationScope } from '@temporalio/workflow';
import type { SessionEnd } from '../step-arguments.js';
import type { Outcome } from '../contract.js';
import { isContinuing, unlessCancelled } from './carry-over.js';
import { serveErrands } from './errands.js';
import { judgeRequests } from './judge.js';
import { park, unpark } from './parking.js';
import type { Place } from './place.js';
import { isHostGone } from './restarts.js';
import { runSession, succeed } from './session.js';
import { failureType, firstToSettle } from './settle.js';
import { refOf } from './place.js';
import { hostSteps, type HostSteps } from './steps.js';
import type { Task } from './task.js';
import { tearDown, type Ending } from './tear-down.js';
import { beginEnding } from './too-late.js';

/** A task on a host: plain JSON, so that it can be carried into the next run. */
export interface Stay {
  stayId: string;
  place: Place;
  /** `new`: nothing is prepared; `parked`: no codex, no credential; `ready`: codex is to be launched (again). */
  at: 'new' | 'parked' | 'ready' | 'live';
  /** A run before this one began it: its host may have it running already, or have ended it. */
  isAdopted?: true;
  /** Its host is gone, and it is to be found out where the task goes on. */
  isLost?: true;
}

/** Works on one host until the task ends there; `again`: it did not come so far that codex ran; `host-gone`: nothing was put back. */
export async function stayOn(task: Task, stay: Stay): Promise<Outcome | 'again' | 'host-gone'> {
  const host = hostSteps(stay.place.hostId, stay.place.ttlMs);
  task.stay = stay;
  task.ref = refOf(task, stay.stayId);
  let ending: Ending | null = { outcome: 'closed' };
  try {
    const end = await untilSessionEnds(task, stay, host);
    ending = { outcome: end === 'closed' ? end : succeed(end) };
    return ending.outcome;
  } catch (caught) {
    const error = unlessCancelled(caught);
    ending = isContinuing(error) || isHostGone(error) ? null : { error };
    if (isHostGone(error)) return 'host-gone';
    if (stay.isAdopted && stay.at === 'new' && failureType(error) !== undefined) {
      // It cannot go on as it is: what is there of it is saved before the next stay begins.
      ending = null;
      task.stay = null;
      return 'again';
    }
    if (isBeforeCodex(task, error)) return 'again';
    throw error;
  } finally {
    const ended = ending;
    if (ended) {
      if (!('error' in ended) || !isBeforeCodex(task, ended.error)) beginEnding(task);
      await CancellationScope.nonCancellable(() => tearDown(task, stay.place, host, ended));
      task.stay = null;
    }
  }
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
