import { onAbort } from './abort.js';

/** A number of permits that are taken one by one; who finds none waits, first come first served. */
export interface Semaphore {
  /** Resolves with a permit taken. @throws the signal's reason when it aborts before there was one */
  acquire(signal: AbortSignal): Promise<void>;
  /** Whether there was a permit, which is taken then. */
  tryAcquire(): boolean;
  /** Gives a permit back, to the first that waits. @throws RangeError when none is taken */
  release(): void;
}

/** @param permits how many there are */
export function openSemaphore(permits: number): Semaphore {
  let taken = 0;
  const waiting = new Set<() => void>();
  const tryAcquire = () => taken < permits && ++taken > 0;
  return {
    tryAcquire,
    async acquire(signal) {
      signal.throwIfAborted();
      if (tryAcquire()) return;
      await new Promise<void>((resolve, reject) => {
        // Whoever gives one back hands it on.
        const handed = () => {
          forget();
          resolve();
        };
        const forget = onAbort(signal, () => {
          waiting.delete(handed);
          reject(signal.reason as Error);
        });
        waiting.add(handed);
      });
    },
    release() {
      if (taken === 0) throw new RangeError('A permit was given back that nobody had');
      const [next] = waiting;
      if (!next) return void taken--;
      waiting.delete(next);
      next();
    },
  };
}
