import type { Thread } from '../conversation/thread.js';

type Word = (to: Thread) => void;

/** Keeps what codex says before its thread is open, in order. */
export class EarlyWords {
  #thread: Thread | null = null;
  #early: Word[] = [];

  /** Null: it is not open yet. */
  get thread(): Thread | null {
    return this.#thread;
  }

  /** Said at once to a thread that is open. */
  tell(word: Word): void {
    if (this.#thread) word(this.#thread);
    else this.#early.push(word);
  }

  /** The thread is brought up to date: it hears what was kept, then each word as it comes. */
  open(thread: Thread): void {
    this.#thread = thread;
    for (const word of this.#early) word(thread);
    this.#early = [];
  }
}
