import type { Thread } from '../conversation/thread.js';

type Word = (to: Thread) => void;

/** Holds Codex's notifications in order until its thread is open. */
export class EarlyWords {
  #thread: Thread | null = null;
  #early: Word[] = [];

  /** Null: it is not open yet. */
  get thread(): Thread | null {
    return this.#thread;
  }

  /** Passes a notification to an open thread at once. */
  tell(word: Word): void {
    if (this.#thread) word(this.#thread);
    else this.#early.push(word);
  }

  /** The thread is up to date: replays the held notifications, then passes on each as it comes. */
  open(thread: Thread): void {
    this.#thread = thread;
    for (const word of this.#early) word(thread);
    this.#early = [];
  }
}
