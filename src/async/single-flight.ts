/** Runs acts that are shared by whoever asks for the same one while it is under way. */
export class SingleFlight<T> {
  readonly #underWay = new Map<string, Promise<T>>();

  /**
   * Runs `act`, unless one is under way under this key: then what comes of that.
   * @throws as the act does that is under way
   */
  run(key: string, act: () => Promise<T>): Promise<T> {
    const known = this.#underWay.get(key);
    if (known) return known;
    // Forgotten after it was set, even when it throws at once.
    const run = new Promise<T>((resolve) => resolve(act())).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, run);
    return run;
  }

  /** Resolves when what is under way at this call is over, whatever becomes of it. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#underWay.values());
  }
}
