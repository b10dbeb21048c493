import { onAbort } from './abort.js';

/** Wakes whoever waits for a change. */
export class Notifier {
  readonly #waiting = new Set<() => void>();

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves at the next call of `notifyAll`. @throws the signal's reason when it aborts before, before the call too */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const wake = () => {
        release();
        resolve();
      };
      const release = onAbort(signal, () => {
        this.#waiting.delete(wake);
        reject(signal?.reason as Error);
      });
      this.#waiting.add(wake);
    });
  }

  notifyAll(): void {
    const woken = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of woken) wake();
  }
}
