import { setTimeout as sleep } from 'node:timers/promises';
import type { TaskHandle } from '../../src/client/index.js';

const LOOK_MS = 200;

/** Tells each time that a task is seen parked after it was not; until the signal ends it. */
export async function watchParked(
  task: TaskHandle,
  parked: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let was = false;
  while (!signal.aborted) {
    const { state } = await task.status().catch(() => ({ state: null }));
    if (state === 'parked' && !was) await parked();
    was = state === null ? was : state === 'parked';
    await sleep(LOOK_MS, undefined, { signal });
  }
}
