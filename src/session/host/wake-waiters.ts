import { reasonOf } from '../../errors.js';
import { forgetWaiter, leaveToTell, wakeableWaiters, type Wakeable } from '../../store/waiters.js';
import type { HostContext } from '../model/host-context.js';

/** A waiting task gets a released seed within 5 s, even when the first signal is lost. */
const LOOK_MS = 1_500;

/**
 * Tells waiting tasks when a seed is free, whoever released it: a task, a client of the Python package, the end of
 * its lease or of its usage limit. So a wait of days costs a workflow next to nothing.
 */
export function wakeWaiters(host: Pick<HostContext, 'signalWorkflow' | 'store' | 'log'>): {
  close(): Promise<void>;
} {
  let timer: NodeJS.Timeout;
  let isClosed = false;
  let looking: Promise<void> = Promise.resolve();
  // No look waits for a slow signal, which would delay other tasks.
  const telling = new Set<Promise<void>>();
  const next = () => {
    timer = setTimeout(() => {
      looking = look().finally(() => {
        if (!isClosed) next();
      });
    }, LOOK_MS).unref();
  };
  const look = async () => {
    try {
      for (const waiter of await wakeableWaiters(host.store)) {
        const told = tell(host, waiter).finally(() => telling.delete(told));
        telling.add(told);
      }
    } catch (error) {
      // Retried, and each waiting task also asks by itself now and then.
      host.log.debug({ reason: reasonOf(error) }, 'waiters.retry');
    }
  };
  next();
  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await looking;
      await Promise.all(telling);
    },
  };
}

async function tell(
  host: Pick<HostContext, 'signalWorkflow' | 'store' | 'log'>,
  waiter: Wakeable,
): Promise<void> {
  try {
    const sent = await host.signalWorkflow(waiter, 'seedAvailable', undefined);
    if (sent === 'workflow-gone') await forgetWaiter(host.store, waiter);
  } catch (error) {
    host.log.debug({ taskId: waiter.taskId, reason: reasonOf(error) }, 'waiter.signal.failed');
    await leaveToTell(host.store, waiter).catch(() => undefined);
  }
}
