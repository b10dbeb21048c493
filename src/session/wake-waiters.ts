import { reasonOf } from '../errors.js';
import { forgetWaiter, wakeableWaiters } from '../store/waiters.js';
import type { HostContext } from './host-context.js';

/** A waiting task has a seed within 5 s after it is free. */
const LOOK_MS = 1_500;

/**
 * Tells waiting tasks when a seed is free for them, whoever let it go: a task, a client of the Python package, an
 * end of its lease or its usage limit. So a task that waits for days costs its workflow next to nothing.
 */
export function wakeWaiters(host: HostContext): { close(): Promise<void> } {
  let timer: NodeJS.Timeout;
  let isClosed = false;
  let looking: Promise<void> = Promise.resolve();
  const next = () => {
    timer = setTimeout(() => {
      looking = look(host).finally(() => {
        if (!isClosed) next();
      });
    }, LOOK_MS).unref();
  };
  next();
  return {
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

async function look(host: HostContext): Promise<void> {
  try {
    const waiters = await wakeableWaiters(host.store);
    await Promise.all(
      waiters.map(async (waiter) => {
        const sent = await host.signalWorkflow(waiter, 'credentialFree', undefined);
        if (sent === 'workflow-gone') await forgetWaiter(host.store, waiter);
      }),
    );
  } catch (error) {
    // It is tried again, and each waiting task also asks by itself now and then.
    host.log.debug({ reason: reasonOf(error) }, 'waiters.retry');
  }
}
