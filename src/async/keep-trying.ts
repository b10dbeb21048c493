import { setTimeout as delay } from 'node:timers/promises';

const RETRY_MS = 1_000;

/**
 * Does it until it succeeds. For what must not be given up while this process lives.
 * @param pauseMs milliseconds between two tries
 */
export async function keepTrying<T>(
  act: () => Promise<T>,
  onFailure: (error: unknown) => void,
  pauseMs = RETRY_MS,
): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      onFailure(error);
    }
    await delay(pauseMs);
  }
}
