import { onAbort } from './abort.js';
import { timerMs } from './timer-ms.js';

/**
 * What the promise comes to within `ms` milliseconds; undefined when the time is over or the signal aborts before.
 * The promise is left to itself then, and no timer is left.
 * @throws as the promise does
 */
export async function within<T>(
  ms: number,
  promise: Promise<T>,
  signal?: AbortSignal,
): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  let release: () => void = () => undefined;
  const late = new Promise<undefined>((resolve) => {
    const end = () => resolve(undefined);
    timer = setTimeout(end, timerMs(ms));
    release = onAbort(signal, end);
  });
  try {
    // The race handles a rejection of the loser too.
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    release();
  }
}

/**
 * What the promise comes to within `ms` milliseconds. It is left to itself when the time is over, and no timer is left.
 * @throws as the promise does; what `late` makes when the time is over
 */
export async function deadline<T>(
  ms: number,
  promise: Promise<T>,
  late: () => Error = () => new Error(`no answer within ${ms} ms`),
): Promise<T> {
  const answer = await within(
    ms,
    promise.then((value) => ({ value })),
  );
  if (!answer) throw late();
  return answer.value;
}
