/** What a timer takes, 24 days; it fires at once for more. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Aborts after `ms` milliseconds with a `TimeoutError`, or with the reason of the first of `others` that aborts. It
 * keeps no process alive. `AbortSignal.any` over an `AbortSignal.timeout` is no substitute: once the garbage collector
 * has run, it never aborts (Node 20.20.2: 0 of 200).
 */
export function timeLimit(ms: number, ...others: readonly AbortSignal[]): AbortSignal {
  const over = new AbortController();
  const late = () => over.abort(new DOMException(`no end after ${ms / 1_000} s`, 'TimeoutError'));
  setTimeout(late, Math.min(ms, LONGEST_MS)).unref();
  return others.length === 0 ? over.signal : AbortSignal.any([...others, over.signal]);
}
