import { SerialQueue } from './serial-queue.js';

/** Runs acts one at a time per key, in the order in which they came; those of two keys do not wait for each other. */
export class KeyedQueue {
  readonly #lanes = new Map<string, SerialQueue>();

  /**
   * Runs `act` after those of this key that came before, whatever became of them.
   * @throws as `act` does; the signal's reason when it aborts before `act` has begun
   */
  run<T>(key: string, act: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const lane = this.#lanes.get(key) ?? new SerialQueue();
    this.#lanes.set(key, lane);
    const forget = () => {
      if (lane.isIdle && this.#lanes.get(key) === lane) this.#lanes.delete(key);
    };
    const run = lane.run(act, signal);
    void lane.idle().then(forget);
    return run;
  }

  /** Whether an act of this key waits or is under way. */
  has(key: string): boolean {
    return this.#lanes.get(key)?.isIdle === false;
  }

  /** Resolves when what came for this key before this call is over, whatever became of it. */
  async idle(key: string): Promise<void> {
    await this.#lanes.get(key)?.idle();
  }
}
