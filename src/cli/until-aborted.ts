/** The promise, or the signal's reason as soon as it aborts; `said` is called then. */
export async function untilAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  said?: () => void,
): Promise<T> {
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => {
      said?.();
      reject(signal.reason as Error);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
    // When the signal won, nobody waits for the promise any more.
    promise.catch(() => undefined);
  }
}
