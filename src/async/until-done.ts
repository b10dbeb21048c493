import { setTimeout as delay } from 'node:timers/promises';

const PAUSE_MS = 5_000;

/**
 * Does what a full disk may refuse until it is done, or `isWanted` says that nobody waits for it. Never rejects, and
 * keeps no process alive.
 * @param pauseMs milliseconds between two tries
 */
export async function untilDone(
  run: () => Promise<unknown>,
  isWanted: () => boolean,
  pauseMs = PAUSE_MS,
): Promise<void> {
  while (isWanted()) {
    try {
      await run();
      return;
    } catch {
      await delay(pauseMs, undefined, { ref: false });
    }
  }
}
