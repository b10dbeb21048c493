import { KeyedQueue } from '../async/keyed-queue.js';

/** Calls that read a task's folder, by the folder. */
const calls = new KeyedQueue();
/** What ends those that wait or are under way. */
const stops = new Map<string, AbortController>();

/**
 * Runs calls for one folder one after another. `run` gets a signal that `endSnapshots` aborts as well.
 * @throws as `run` does; the reason of the abort, at once while it waits
 */
export function inTurn<T>(
  folder: string,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = stops.get(folder) ?? new AbortController();
  stops.set(folder, stop);
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const running = calls.run(folder, () => run(either), either);
  void calls.idle(folder).then(() => {
    if (!calls.has(folder)) stops.delete(folder);
  });
  return running;
}

/**
 * Ends every call that still reads a folder that is about to be removed; an activity that nobody awaits may still read.
 */
export async function endSnapshots(folder: string): Promise<void> {
  stops.get(folder)?.abort(new Error('the folder is removed'));
  await calls.idle(folder);
}
