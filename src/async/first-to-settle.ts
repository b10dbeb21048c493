import { onAbort } from './abort.js';

/**
 * Begins all acts and is settled as the first of them is. The signal that each gets aborts then, and when `signal`
 * does, with its reason; what becomes of the others is not heard.
 * @throws as the first act does
 */
export async function firstToSettle<T>(
  acts: readonly ((signal: AbortSignal) => Promise<T>)[],
  signal?: AbortSignal,
): Promise<T> {
  const over = new AbortController();
  const release = onAbort(signal, () => over.abort(signal?.reason));
  try {
    // One that throws at once leaves none of the others unheard.
    return await Promise.race(acts.map(async (act) => act(over.signal)));
  } finally {
    release();
    over.abort();
  }
}
