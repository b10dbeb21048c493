/** Limits a rate: a burst at once, then one each `everyMs` milliseconds. */
export class Pace {
  private left: number;
  private filledAt = performance.now();

  constructor(
    private readonly burst: number,
    private readonly everyMs: number,
  ) {
    this.left = burst;
  }

  /** Whether one more may pass now, which counts it. */
  take(): boolean {
    const may = this.has;
    if (may) this.left--;
    return may;
  }

  get has(): boolean {
    const now = performance.now();
    this.left = Math.min(this.burst, this.left + (now - this.filledAt) / this.everyMs);
    this.filledAt = now;
    return this.left >= 1;
  }
}
