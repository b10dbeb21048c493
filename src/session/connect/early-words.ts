import type { Conversation } from '../conversation/conversation.js';

type Word = (to: Conversation) => void;

/** Keeps what codex says before its conversation is open, in order. */
export class EarlyWords {
  #conversation: Conversation | null = null;
  #early: Word[] = [];

  /** Null: it is not open yet. */
  get conversation(): Conversation | null {
    return this.#conversation;
  }

  /** Said at once to a conversation that is open. */
  tell(word: Word): void {
    if (this.#conversation) word(this.#conversation);
    else this.#early.push(word);
  }

  /** The conversation is brought up to date: it hears what was kept, then each word as it comes. */
  open(conversation: Conversation): void {
    this.#conversation = conversation;
    for (const word of this.#early) word(conversation);
    this.#early = [];
  }
}
