import type { TaskMode } from '../../contract/index.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { endWhenIdle, endWhenStuck, type ThreadEnd } from './end-rule.js';

/** Decides how a session ends: by a close of its caller, by its agent, or by its last turn. */
export class EndDecision {
  #isClosing = false;
  #concluded: ThreadEnd | null = null;

  /**
   * @param turnMs how long a turn may run, in milliseconds
   * @param last the newest turn that is over; null: none was
   */
  constructor(
    private readonly mode: TaskMode,
    private readonly turnMs: number,
    public last: TurnOutcome | null,
  ) {}

  /** Whether the session has ended for good, or is about to. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  get isLimited(): boolean {
    return this.last?.heldOut !== undefined;
  }

  close(): void {
    this.#isClosing = true;
  }

  /** The agent ended the task: its first line counts, unless the session is closed. */
  conclude(end: ThreadEnd): void {
    this.#concluded ??= end;
  }

  /**
   * More is known of the last turn: its sub-agents were interrupted, or worked too long, or its limit has a reset
   * time.
   */
  amendLast(change: Partial<TurnOutcome>): void {
    if (this.last) this.last = { ...this.last, ...change };
  }

  /** The end of the session when nothing runs or waits; null: it waits for a message. */
  whenIdle(): ThreadEnd | null {
    return endWhenIdle(this.mode, this.#isClosing, this.last, this.turnMs, this.#concluded);
  }

  /** The end when Codex does not end a turn that was interrupted at its limit. */
  whenStuck(): ThreadEnd {
    return this.#isClosing ? { kind: 'closed' } : endWhenStuck(this.mode, this.turnMs);
  }
}
