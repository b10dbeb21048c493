import type { EvictArguments, HostArguments, LookArguments, HostLook } from '../contract/activities.js';
import { fenceTask, findHost, requestEviction } from '../store/hosts.js';
import { holderOf } from '../store/holders.js';
import { endAssignment, findAssignment } from '../store/assignments.js';
import type { Store } from '../store/mongo.js';

/**
 * What any worker can find out and do about the right of another host to run a task. Each is one look: the workflow
 * waits between them by its own timers, so that no number of waiting tasks holds a slot.
 */
export const hostLeaseActivities = (store: Store) => ({
  /** Keeps a host whose right is over from a task; `held`: it is not over. */
  async fenceHost({ hostId, ref }: HostArguments): Promise<'fenced' | 'held'> {
    const held = await findAssignment(store, ref.taskId);
    // Tried again, or the host has let it go: it may have its right back, and has nothing of this assignment.
    const isGone = held !== null && held.assignmentId !== ref.assignmentId;
    if (!isGone && !(await fenceTask(store, hostId, ref))) return 'held';
    // The host is kept from it first: a crash in between leaves an assignment that is fenced again.
    await endAssignment(store, ref, hostId);
    return 'fenced';
  },

  /**
   * Looks whether a host has renewed its right since the sight `since`, so it lives, or that right is over: then it
   * was so at two looks, for one that stood still, perhaps this worker's own, renews in a moment. Otherwise what is
   * seen now, for the next look. `away`: only its end is news.
   */
  async awaitHost({ hostId, since, away = false }: LookArguments): Promise<HostLook> {
    const host = await findHost(store, hostId);
    const isAlive = host?.alive === true;
    if (isAlive && !away && since && host.expiresAt.getTime() > since.expiresAtMs) return 'renewed';
    if (!isAlive && since && !since.isAlive) return 'over';
    return { isAlive, expiresAtMs: host?.expiresAt.getTime() ?? 0, endsInMs: isAlive ? host.endsInMs : 0 };
  },

  /**
   * Asks a host to let a task go, unless it was `asked` before, and looks whether it has, or its right is over; then it
   * finds that when it returns.
   */
  async evictTask({ hostId, ref, asked = false }: EvictArguments): Promise<'over' | 'left' | 'asked'> {
    if (!asked) await requestEviction(store, hostId, ref);
    const host = await findHost(store, hostId);
    if (!host?.alive) return 'over';
    return host.evict.includes(holderOf(ref)) ? 'asked' : 'left';
  },
});
