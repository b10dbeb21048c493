/**
 * Calls `act` when the signal aborts, at once when it has aborted before; an absent signal never does.
 * @returns takes `act` back
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted) act();
  if (!signal || signal.aborted) return () => undefined;
  // A listener of its own: the same function may be given twice.
  const hear = () => act();
  signal.addEventListener('abort', hear, { once: true });
  return () => signal.removeEventListener('abort', hear);
}

/** Resolves when the signal aborts. Has a listener until then: for a race there is `orAborted`. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => void onAbort(signal, resolve));
}

/**
 * What the promise comes to, or undefined once the signal aborts. The promise is left to itself then.
 * @throws as the promise does
 */
export async function orAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  return race(promise, signal, (resolve) => resolve(undefined));
}

/**
 * What the promise comes to. The promise is left to itself when the signal aborts first.
 * @throws as the promise does; the signal's reason once it aborts
 */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return race(promise, signal, (_, reject) => reject(signal?.reason as Error));
}

async function race<T, U>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  end: (resolve: (value: U) => void, reject: (reason: Error) => void) => void,
): Promise<T | U> {
  let release: () => void = () => undefined;
  const aborted = new Promise<U>((resolve, reject) => {
    release = onAbort(signal, () => end(resolve, reject));
  });
  try {
    // The race handles a rejection of the loser too.
    return await Promise.race([promise, aborted]);
  } finally {
    release();
  }
}
