import { condition, uuid4 } from '@temporalio/workflow';
import { BUDGETS, firstWithin } from '../budgets/budgets.js';
import type { Claimed } from '../contract/activities.js';
import { untilContinued } from './continue-as-new.js';
import { claim, giveBack, orGiveBack, refOf, recordPlacement } from './assign.js';
import { firstToSettle } from './settle.js';
import { ANY_WAIT, sharedProxy, TTL_MS } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import { evict, hasReturned, watchHost, whenReturned } from './watch-host.js';
import type { Assignment, Placement } from './assignment.js';

/** A host that lives and did not do a step is asked once more; when that fails too within this time, it must let go. */
const TRIED_MS = 300_000;
/** A task that is closed ends best where it is, so that host is asked again and again, for this long. */
const CLOSED_MS = 150_000;

/** `back`: the host goes on with the task. `over`: its right to run it has ended. `left`: it let the task go. */
type Fate = 'back' | 'over' | 'left';

/**
 * Decides where a task continues when its host stops responding: on the same host if it returns, on another once the
 * first host's lease has expired, so that no turn ever runs twice. The old host keeps the task, folder and all, until
 * another one has a place for it. Null: the task was closed meanwhile, and no host can put it back.
 */
export async function failOver(task: Task, assignment: Assignment): Promise<Assignment | null> {
  const { place } = assignment;
  // From here on: a word that comes between two waits counts in the next one.
  const { hostRestarts: restarts } = task;
  if (!task.evicted) task.enter('recovering');
  assignment.isLost = true;
  const fate = await resolveHostLoss(task, assignment, restarts);
  const next = fate === 'back' ? place : await reassign(task, place, fate, restarts);
  if (next !== place) return next && { assignmentId: task.ref.assignmentId, place: next, stage: 'new' };
  delete assignment.isLost;
  delete assignment.unfit;
  return assignment;
}

async function resolveHostLoss(task: Task, { place, unfit }: Assignment, restarts: number): Promise<Fate> {
  const { hostId, ttlMs = TTL_MS } = place;
  if (task.evicted) return 'left';
  const isBack = async (): Promise<Fate> => {
    await condition(() => task.evicted || task.hostRestarts !== restarts);
    return task.evicted ? 'left' : 'back';
  };
  if (unfit !== undefined) {
    const done = task.waitFor(`host ${hostId} is to let the task go: ${unfit}`);
    return firstToSettle<Fate>(isBack, () => evict(task, hostId)).finally(done);
  }
  // Of a worker that went without its tasks only their end, or the next worker, is news.
  const away = Date.now() < task.expectedBackAt;
  const seen = await firstToSettle<Fate | 'renewed'>(
    isBack,
    () => watchHost(task, hostId, { away, ttlMs }),
    untilContinued,
  );
  if (seen !== 'renewed') return seen;
  // It lives: perhaps only Temporal was out of reach.
  const triedMs = Date.now() - task.lastRetryAt;
  if (task.closing && triedMs < CLOSED_MS) return 'back';
  task.lastRetryAt = Date.now();
  if (triedMs > TRIED_MS) return 'back';
  return firstToSettle<Fate>(isBack, () => evict(task, hostId), untilContinued);
}

async function reassign(
  task: Task,
  place: Placement,
  why: 'over' | 'left',
  restarts: number,
): Promise<Placement | null> {
  const { hostId } = place;
  const { ref } = task;
  const next = refOf(task, uuid4());
  task.enter('waiting-for-host');
  const claimed = await firstToSettle<Claimed | 'late' | 'closed' | 'back'>(
    () => claim(task, ANY_WAIT, true, next),
    ...(why === 'over' ? [() => hostReturns(task, hostId, restarts)] : []),
  );
  if (claimed === 'back') return place;
  // A host that has come back ends the task as any other, with its snapshot.
  if (claimed === 'closed' && why === 'over' && (await hasReturned(task, hostId))) return place;
  if (claimed === 'closed' || claimed === 'late') return null;
  if (why === 'over' && claimed.hostId === hostId) return place;
  return orGiveBack(task, claimed, next, async () => {
    if (why === 'over' && (await sharedProxy(task).fenceHost({ hostId, ref })) === 'held') {
      await giveBack(task, claimed, next);
      return place;
    }
    recordPreviousHost(task, hostId);
    task.ref = next;
    // It is that host's no more, whatever becomes of the wait for a credential.
    task.assignment = null;
    const lease = await waitForCredential(task);
    return lease === 'closed' ? null : recordPlacement(task, claimed, lease);
  });
}

/** Its own word wakes at once. */
const hostReturns = (task: Task, hostId: string, restarts: number): Promise<'back'> =>
  firstToSettle<'back'>(
    async () => {
      await condition(() => task.hostRestarts !== restarts);
      return 'back';
    },
    () => whenReturned(task, hostId),
  );

/** What the next host is to know. A task on which codex never ran begins as if it were new. */
function recordPreviousHost(task: Task, from: string): void {
  const { moved, lastEventId, permissions, outbox } = task;
  const earlier = task.codexStarted ? [] : (moved?.requests ?? []);
  const gone = [...earlier, ...outbox.dropDecisions(), ...permissions.abandon()];
  const requests = firstWithin(gone.reverse(), BUDGETS.movedRequests).kept.reverse();
  if (task.codexStarted || moved)
    task.moved = { from, generation: (moved?.generation ?? 0) + 1, lastEventId, requests };
  task.update({ listener: null });
}
