import { condition, uuid4 } from '@temporalio/workflow';
import { BUDGETS, firstWithin } from '../budgets/budgets.js';
import type { Claimed } from '../contract/activities.js';
import { untilContinued } from './continue-as-new.js';
import { place } from './assign.js';
import { newAssignment, type Placed } from './assignment.js';
import { claim, giveBack, orGiveBack } from './claim.js';
import { raceInScope } from './race.js';
import { ANY_WAIT, sharedProxy, TTL_MS } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import { evict, hasReturned, watchHost, whenReturned } from './watch-host.js';

/**
 * Asks a living host once more after a failed activity; after a second failure within this time it must evict the
 * task.
 */
const TRIED_MS = 300_000;
/** How long a closed task asks its host again and again: a task ends best where it is. */
const CLOSED_MS = 150_000;

/** `back`: the host continues the task. `over`: its right to run it has ended. `left`: it evicted the task. */
type Fate = 'back' | 'over' | 'left';

/**
 * Decides where a task continues when its host stops responding: on the same host if it returns, on another once the
 * first host's lease has expired, so that no turn ever runs twice. The old host keeps the task, folder and all, until
 * another one has a place for it. `closed`: the task was closed meanwhile, and no host can put it back.
 */
export async function failOver(task: Task, assignment: Placed): Promise<'goes-on' | 'closed'> {
  // Set before the waits, so that a report between two waits counts in the next one.
  const { hostRestarts: restarts } = assignment;
  if (!assignment.evicted) task.enter('recovering');
  assignment.isLost = true;
  const fate = await resolveHostLoss(task, assignment, restarts);
  const next = fate === 'back' ? assignment : await reassign(task, assignment, fate, restarts);
  if (next === assignment) {
    delete assignment.isLost;
    delete assignment.unfit;
  }
  return next ? 'goes-on' : 'closed';
}

async function resolveHostLoss(task: Task, assignment: Placed, restarts: number): Promise<Fate> {
  const { hostId, ttlMs = TTL_MS, unfit } = assignment;
  if (assignment.evicted) return 'left';
  const isBack = async (): Promise<Fate> => {
    await condition(() => assignment.evicted || assignment.hostRestarts !== restarts);
    return assignment.evicted ? 'left' : 'back';
  };
  if (unfit !== undefined) {
    const done = task.waitFor(`waiting for host ${hostId} to evict the task: ${unfit}`);
    return raceInScope<Fate>(isBack, () => evict(task, hostId)).finally(done);
  }
  // A worker that left its tasks running reports nothing: only their end or the next worker matters.
  const away = Date.now() < assignment.expectedBackAt;
  const seen = await raceInScope<Fate | 'renewed'>(
    isBack,
    () => watchHost(task, hostId, { away, ttlMs }),
    untilContinued,
  );
  if (seen !== 'renewed') return seen;
  // The host lives: perhaps only Temporal was unreachable.
  const triedMs = Date.now() - assignment.lastRetryAt;
  if (task.state.closing && triedMs < CLOSED_MS) return 'back';
  assignment.lastRetryAt = Date.now();
  if (triedMs > TRIED_MS) return 'back';
  return raceInScope<Fate>(isBack, () => evict(task, hostId), untilContinued);
}

async function reassign(
  task: Task,
  assignment: Placed,
  why: 'over' | 'left',
  restarts: number,
): Promise<Placed | null> {
  const { hostId } = assignment;
  const { ref } = task;
  const next = newAssignment(uuid4());
  const nextRef = task.refOf(next);
  task.enter('waiting-for-host');
  const claimed = await raceInScope<Claimed | 'late' | 'closed' | 'back'>(
    () => claim(task, ANY_WAIT, true, nextRef),
    ...(why === 'over' ? [() => hostReturns(task, assignment, restarts)] : []),
  );
  if (claimed === 'back') return assignment;
  // A returned host ends the task like any other, with its snapshot.
  if (claimed === 'closed' && why === 'over' && (await hasReturned(task, hostId))) return assignment;
  if (claimed === 'closed' || claimed === 'late') return null;
  if (why === 'over' && claimed.hostId === hostId) return assignment;
  return orGiveBack(task, claimed, nextRef, async () => {
    if (why === 'over' && (await sharedProxy(task).fenceHost({ hostId, ref })) === 'held') {
      await giveBack(task, claimed, nextRef);
      return assignment;
    }
    recordPreviousHost(task, assignment);
    // That host has lost the task, whatever becomes of the wait for a credential.
    task.state.assignment = next;
    const lease = await waitForCredential(task);
    return lease === 'closed' ? null : place(task, next, claimed, lease);
  });
}

/** A report of the host ends the wait at once. */
const hostReturns = (task: Task, assignment: Placed, restarts: number): Promise<'back'> =>
  raceInScope<'back'>(
    async () => {
      await condition(() => assignment.hostRestarts !== restarts);
      return 'back';
    },
    () => whenReturned(task, assignment.hostId),
  );

/** Facts for the next host. A task that never ran Codex begins as if it were new. */
function recordPreviousHost(task: Task, { hostId: from, codexStarted }: Placed): void {
  const { state, permissions, outbox } = task;
  const { previousHost: before, lastEventId } = state;
  const earlier = codexStarted ? [] : (before?.requests ?? []);
  const gone = [...earlier, ...outbox.dropDecisions(), ...permissions.abandon()];
  const requests = firstWithin(gone.reverse(), BUDGETS.movedRequests).kept.reverse();
  if (codexStarted || before)
    state.previousHost = { from, generation: (before?.generation ?? 0) + 1, lastEventId, requests };
  task.update({ listener: null });
}
