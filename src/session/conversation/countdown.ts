import { onceLate } from '../../async/time-limit.js';

/** Longest delay of one timer of Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls back once after so much running time, which can be paused. A process that was frozen first reads what arrived
 * meanwhile: the turn may have ended.
 */
export class Countdown {
  /** Cancels the countdown. */
  private wait: (() => void) | null = null;
  private since = 0;
  private isOver = false;

  constructor(
    private leftMs: number,
    private readonly done: () => void,
  ) {
    this.resume();
  }

  /** Pauses until `resume`. */
  pause(): void {
    if (this.wait === null) return;
    this.wait();
    this.wait = null;
    this.leftMs -= performance.now() - this.since;
  }

  resume(): void {
    if (this.isOver || this.wait !== null) return;
    this.since = performance.now();
    const waitMs = Math.max(Math.min(this.leftMs, MAX_TIMER_MS), 0);
    this.wait = onceLate(waitMs, () => this.elapsed(waitMs));
  }

  /** Never calls back from now on. */
  stop(): void {
    this.isOver = true;
    this.wait?.();
    this.wait = null;
  }

  private elapsed(waitedMs: number): void {
    this.wait = null;
    this.leftMs -= waitedMs;
    if (this.leftMs > 0) return this.resume();
    this.isOver = true;
    this.done();
  }
}
