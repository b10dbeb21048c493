import { condition, uuid4 } from '@temporalio/workflow';
import { BUDGETS, firstWithin } from '../budgets/budgets.js';
import type { Claimed } from '../contract/activities.js';
import { untilContinued } from './continue-as-new.js';
import { claim, giveBack, orGiveBack, refOf, settle } from './assign.js';
import { firstToSettle } from './settle.js';
import { ANY_WAIT, sharedSteps, TTL_MS } from './activity-proxies.js';
import type { Task } from './task.js';
import { waitForCredential } from './wait-for-credential.js';
import { evict, hasReturned, watchHost, whenReturned } from './watch-host.js';
import type { Stay, Place } from './assignment.js';

/** A host that lives and did not do a step is asked once more; when that fails too within this time, it must let go. */
const TRIED_MS = 300_000;
/** A task that is closed ends best where it is, so that host is asked again and again, for this long. */
const CLOSED_MS = 150_000;

/** `back`: the host goes on with the task. `over`: its right to run it has ended. `left`: it let the task go. */
type Fate = 'back' | 'over' | 'left';

/**
 * Where a task goes on whose host does not answer any more: there again when it comes back, elsewhere once it
 * has no right to run the task, so that no turn ever runs twice. The old host keeps the task, folder and all,
 * until another one has a place for it. Null: the task was closed meanwhile, and no host can put it back.
 */
export async function takeNextPlace(task: Task, stay: Stay): Promise<Stay | null> {
  const { place } = stay;
  // From here on: a word that comes between two waits counts in the next one.
  const { restarts } = task;
  if (!task.left) task.enter('recovering');
  stay.isLost = true;
  const fate = await fateOf(task, stay, restarts);
  const next = fate === 'back' ? place : await goElsewhere(task, place, fate, restarts);
  if (next !== place) return next && { stayId: task.ref.stayId, place: next, at: 'new' };
  delete stay.isLost;
  delete stay.unfit;
  return stay;
}

async function fateOf(task: Task, { place, unfit }: Stay, restarts: number): Promise<Fate> {
  const { hostId, ttlMs = TTL_MS } = place;
  if (task.left) return 'left';
  const isBack = async (): Promise<Fate> => {
    await condition(() => task.left || task.restarts !== restarts);
    return task.left ? 'left' : 'back';
  };
  if (unfit !== undefined) {
    const done = task.waitFor(`host ${hostId} is to let the task go: ${unfit}`);
    return firstToSettle<Fate>(isBack, () => evict(task, hostId)).finally(done);
  }
  // Of a worker that went without its tasks only their end, or the next worker, is news.
  const away = Date.now() < task.returnsBy;
  const seen = await firstToSettle<Fate | 'renewed'>(
    isBack,
    () => watchHost(task, hostId, { away, ttlMs }),
    untilContinued,
  );
  if (seen !== 'renewed') return seen;
  // It lives: perhaps only Temporal was out of reach.
  const triedMs = Date.now() - task.triedAt;
  if (task.closing && triedMs < CLOSED_MS) return 'back';
  task.triedAt = Date.now();
  if (triedMs > TRIED_MS) return 'back';
  return firstToSettle<Fate>(isBack, () => evict(task, hostId), untilContinued);
}

async function goElsewhere(
  task: Task,
  place: Place,
  why: 'over' | 'left',
  restarts: number,
): Promise<Place | null> {
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
    if (why === 'over' && (await sharedSteps(task).fenceHost({ hostId, ref })) === 'held') {
      await giveBack(task, claimed, next);
      return place;
    }
    noteMove(task, hostId);
    task.ref = next;
    // It is that host's no more, whatever becomes of the wait for a credential.
    task.stay = null;
    const lease = await waitForCredential(task);
    return lease === 'closed' ? null : settle(task, claimed, lease);
  });
}

/** Its own word wakes at once. */
const hostReturns = (task: Task, hostId: string, restarts: number): Promise<'back'> =>
  firstToSettle<'back'>(
    async () => {
      await condition(() => task.restarts !== restarts);
      return 'back';
    },
    () => whenReturned(task, hostId),
  );

/** What the next host is to know. A task on which codex never ran begins as if it were new. */
function noteMove(task: Task, from: string): void {
  const { moved, lastEventId, desk, outbox } = task;
  const earlier = task.launched ? [] : (moved?.requests ?? []);
  const gone = [...earlier, ...outbox.dropDecisions(), ...desk.abandon()];
  const requests = firstWithin(gone.reverse(), BUDGETS.movedRequests).kept.reverse();
  if (task.launched || moved) task.moved = { from, stay: (moved?.stay ?? 0) + 1, lastEventId, requests };
  task.status.listener = null;
}
