import type { TaskMode } from '../../contract/index.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { endWhenIdle, endWhenStuck, type ThreadEnd } from './end-rule.js';

/** What is known of how a session ends: its caller closes it, its agent ends the task, or its last turn tells. */
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

  /** The agent ended the task; its first word counts, unless the session is closed. */
  conclude(end: ThreadEnd): void {
    this.#concluded ??= end;
  }

  /** More is known of the last turn: its sub-agents were interrupted, or worked too long, or its limit has a time. */
  amendLast(change: Partial<TurnOutcome>): void {
    if (this.last) this.last = { ...this.last, ...change };
  }

  /** How the session ends when nothing runs or waits; null: it waits for a message. */
  whenIdle(): ThreadEnd | null {
    return endWhenIdle(this.mode, this.#isClosing, this.last, this.turnMs, this.#concluded);
  }

  /** How it ends when codex does not end a turn that was interrupted at its limit. */
  whenStuck(): ThreadEnd {
    return this.#isClosing ? { kind: 'closed' } : endWhenStuck(this.mode, this.turnMs);
  }
}
