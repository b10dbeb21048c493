import { Context } from '@temporalio/activity';
import { setTimeout as delay } from 'node:timers/promises';
import type { HostArguments } from '../step-arguments.js';
import { fenceTask, findHost, requestEviction } from '../store/hosts.js';
import type { Store } from '../store/mongo.js';

const LOOK_MS = 1_000;

/** What any worker can find out and do about the right of another host to run a task. */
export const hostRightSteps = (store: Store) => ({
  /** Keeps a host whose right is over from a task; `held`: it is not over. */
  async fenceHost({ hostId, ref }: HostArguments): Promise<'fenced' | 'held'> {
    return (await fenceTask(store, hostId, ref.taskId)) ? 'fenced' : 'held';
  },

  /**
   * Waits until a host has renewed its right, so it lives, or that right is over. `returning`: only for the
   * former, however long it takes. `away`: only for the latter.
   */
  async awaitHost({
    hostId,
    returning,
    away = false,
  }: HostArguments & { returning: boolean; away?: boolean }): Promise<'over' | 'renewed'> {
    const first = await findHost(store, hostId);
    let wasAlive = true;
    return lookUntil(async () => {
      const host = await findHost(store, hostId);
      if (!away && host?.alive && first && host.expiresAt > first.expiresAt) return 'renewed';
      // One that stood still, perhaps this worker's own, renews in a moment.
      const isOver = !host?.alive && !wasAlive && !returning;
      wasAlive = host?.alive === true;
      return isOver ? 'over' : null;
    });
  },

  /** Asks a host to let a task go and waits until it has, or its right is over; then it finds that when it returns. */
  async evictTask({ hostId, ref }: HostArguments): Promise<'over' | 'left'> {
    await requestEviction(store, hostId, ref.taskId);
    return lookUntil(async () => {
      const host = await findHost(store, hostId);
      if (!host?.alive) return 'over';
      return host.evict.includes(ref.taskId) ? null : 'left';
    });
  },
});

async function lookUntil<T>(look: () => Promise<T | null>): Promise<T> {
  const { cancellationSignal } = Context.current();
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    await delay(LOOK_MS, undefined, { signal: cancellationSignal });
  }
}
