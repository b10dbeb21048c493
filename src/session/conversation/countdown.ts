/** The longest time that one timer of Node can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Calls back once when so much time has run; it can stand still meanwhile. */
export class Countdown {
  private timer: NodeJS.Timeout | null = null;
  private since = 0;
  private isOver = false;

  constructor(
    private leftMs: number,
    private readonly done: () => void,
  ) {
    this.resume();
  }

  /** Stands still until `resume`. */
  pause(): void {
    if (this.timer === null) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.leftMs -= performance.now() - this.since;
  }

  resume(): void {
    if (this.isOver || this.timer !== null) return;
    this.since = performance.now();
    const waitMs = Math.max(Math.min(this.leftMs, MAX_TIMER_MS), 0);
    this.timer = setTimeout(() => this.elapsed(waitMs), waitMs);
  }

  /** Never calls back from now on. */
  stop(): void {
    this.isOver = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private elapsed(waitedMs: number): void {
    this.timer = null;
    this.leftMs -= waitedMs;
    if (this.leftMs > 0) return this.resume();
    this.isOver = true;
    this.done();
  }
}
