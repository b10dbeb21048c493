import { onAbort } from './abort.js';

/** Runs acts one at a time, in the order in which they came. */
export class SerialQueue {
  #last: Promise<void> = Promise.resolve();
  #size = 0;

  /** Whether no act waits or is under way. */
  get isIdle(): boolean {
    return this.#size === 0;
  }

  /**
   * Runs `act` after those that came before, whatever became of them. Who gives up while he waits does not hold up the
   * others.
   * @throws as `act` does; the signal's reason when it aborts before `act` has begun
   */
  run<T>(act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    this.#size++;
    const begin = async () => {
      try {
        signal?.throwIfAborted();
        return await act();
      } finally {
        this.#size--;
      }
    };
    return new Promise((resolve, reject) => {
      const release = onAbort(signal, () => reject(signal?.reason as Error));
      this.#last = this.#last.then(() => {
        release();
        return begin().then(resolve, reject);
      });
    });
  }

  /** Resolves when what came before this call is over, whatever became of it. */
  idle(): Promise<void> {
    return this.#last;
  }
}
