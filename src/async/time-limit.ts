import { timerMs } from './timer-ms.js';

/**
 * Aborts after `ms` milliseconds with a `TimeoutError`, or with the reason of the first of `others` that aborts. It
 * keeps no process alive. `AbortSignal.any` over an `AbortSignal.timeout` is no substitute: once the garbage collector
 * has run, it never aborts (Node 20.20.2: 0 of 200).
 */
export function timeLimit(ms: number, ...others: readonly AbortSignal[]): AbortSignal {
  const over = new AbortController();
  const late = () => over.abort(new DOMException(`no end after ${ms / 1_000} s`, 'TimeoutError'));
  setTimeout(late, timerMs(ms)).unref();
  return others.length === 0 ? over.signal : AbortSignal.any([...others, over.signal]);
}

/** A timer that fires so much later than it should: the process stood still, frozen or without a processor. */
const STOOD_STILL_MS = 100;
/** What it has then to take in the answers that came meanwhile: timers come before reading. */
const CATCH_UP_MS = 1_000;

/**
 * Calls `late` after `ms` milliseconds unless it is cancelled, but never before the process has read what came in that
 * time.
 * @returns cancels it
 */
export function onceLate(ms: number, late: () => void): () => void {
  let cancelled = false;
  let timer: NodeJS.Timeout;
  const wait = (forMs: number, then: () => void) => {
    const due = performance.now() + forMs;
    timer = setTimeout(
      () => (performance.now() - due > STOOD_STILL_MS ? wait(CATCH_UP_MS, then) : then()),
      forMs,
    );
  };
  wait(timerMs(ms), () => {
    setImmediate(() => {
      if (!cancelled) late();
    });
  });
  return () => {
    cancelled = true;
    clearTimeout(timer);
  };
}
