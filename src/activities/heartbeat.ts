import { Context } from '@temporalio/activity';

/**
 * Heartbeats while `run` works, whatever that waits for.
 * @param everyMs milliseconds
 * @param details asked for with each heartbeat
 */
export async function withHeartbeat<T>(
  run: () => Promise<T>,
  everyMs: number,
  details: () => unknown = () => undefined,
): Promise<T> {
  const context = Context.current();
  const timer = setInterval(() => context.heartbeat(details()), everyMs);
  try {
    return await run();
  } finally {
    clearInterval(timer);
  }
}
