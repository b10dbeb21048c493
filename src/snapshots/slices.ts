import { setImmediate as nextTurn } from 'node:timers/promises';

/** Longest stretch of work between two turns of the event loop, in milliseconds. */
const SLICE_MS = 5;

/**
 * Lets other work in while many small file operations run. Synchronous ones cost a tenth of the asynchronous
 * ones for small files, and this bounds how long they hold the process.
 */
export interface Slices {
  /** What to await before the next piece of work; null while the slice lasts. */
  pause(): Promise<void> | null;
}

export function createSlices(): Slices {
  let since = performance.now();
  return {
    pause() {
      if (performance.now() - since < SLICE_MS) return null;
      return nextTurn().then(() => {
        since = performance.now();
      });
    },
  };
}
