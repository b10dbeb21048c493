import { toWellFormed } from '../../codex/well-formed.js';
import type { TaskMessage } from '../../contract/index.js';
import { REMEMBERED, type Ledger } from '../../task-folder/ledger.js';
import { recall } from '../../task-folder/taken-messages.js';

/** The messages of a task: each is taken once by its id, recorded, and sent in order. */
export class MessageQueue {
  /** Messages that wait or are being sent, by id, with the write that made them durable. */
  private readonly held = new Map<string, Promise<void>>();
  private readonly recent = new Set<string>();
  private readonly urgent: TaskMessage[] = [];
  private readonly waiting: TaskMessage[] = [];
  private undecided: TaskMessage[] = [];
  /** All messages of an earlier process. */
  private readonly recalled: ReadonlyMap<string, TaskMessage>;

  /** Restores the records of an earlier process of this host: unsent messages wait again. */
  constructor(private readonly ledger: Ledger) {
    const { unsent, undecided, ids, messages } = recall(ledger.past);
    this.recalled = messages;
    for (const id of ids) this.remember(id);
    this.waiting.push(...unsent);
    this.undecided = undecided;
    for (const id of this.ids) this.held.set(id, Promise.resolve());
  }

  /** Records a message; `null`: its id is known already. Resolves when it is durable. */
  async take(message: TaskMessage): Promise<TaskMessage | null> {
    const clean = {
      ...message,
      messageId: toWellFormed(message.messageId),
      text: toWellFormed(message.text),
    };
    const earlier = this.held.get(clean.messageId);
    if (earlier) return earlier.then(() => null);
    if (this.recent.has(clean.messageId)) return null;
    const written = this.ledger.write({ t: 'message', message: clean });
    this.held.set(clean.messageId, written);
    try {
      await written;
    } catch (error) {
      this.held.delete(clean.messageId);
      throw error;
    }
    return clean;
  }

  /** Adds it to the end of the queue. */
  push(message: TaskMessage): void {
    this.waiting.push(message);
  }

  /** Adds it before the waiting messages, after others added like this. */
  pushNext(message: TaskMessage): void {
    this.urgent.push(message);
  }

  /** Moves a waiting message to the front. */
  hurry(messageId: string): void {
    const at = this.waiting.findIndex((each) => each.messageId === messageId);
    if (at !== -1) this.urgent.unshift(...this.waiting.splice(at, 1));
  }

  /** Before all others: one that was given out and cannot be sent yet. Until `takeOut` it waits like them. */
  putFirst(message: TaskMessage): void {
    this.urgent.unshift(message);
  }

  takeOut(messageId: string): void {
    const at = this.urgent.findIndex((each) => each.messageId === messageId);
    if (at !== -1) this.urgent.splice(at, 1);
  }

  shift(): TaskMessage | undefined {
    const message = this.urgent.shift() ?? this.waiting.shift();
    if (message) this.release(message.messageId);
    return message;
  }

  /** The message that `shift` gives next. */
  get first(): string | null {
    return (this.urgent[0] ?? this.waiting[0])?.messageId ?? null;
  }

  get size(): number {
    return this.urgent.length + this.waiting.length;
  }

  /** Codex has a message in its thread: it is not sent (again). */
  arrived(messageId: string): void {
    void this.ledger.write({ t: 'accepted', messageId }).catch(() => undefined);
    if (!this.held.has(messageId)) return;
    this.release(messageId);
    for (const list of [this.urgent, this.waiting]) {
      const at = list.findIndex((each) => each.messageId === messageId);
      if (at !== -1) list.splice(at, 1);
    }
  }

  /** Messages that Codex may or may not have: their sending began and was not confirmed. */
  get undecidedIds(): string[] {
    return this.undecided.map(({ messageId }) => messageId);
  }

  /**
   * Settles them by Codex's thread: missing ones are sent again, first of all.
   * @param inThread whether a `userMessage` of the thread has this `clientId`
   */
  decide(inThread: (messageId: string) => boolean): void {
    for (const message of this.undecided.splice(0))
      if (inThread(message.messageId)) this.arrived(message.messageId);
      else this.pushNext(message);
  }

  /** Messages of a turn that Codex lost are sent again, first of all. Resolves when that is durable. */
  async again(turnId: string, messageIds: readonly string[]): Promise<void> {
    await this.ledger.write({ t: 'again', turnId, messageIds });
    for (const messageId of messageIds) {
      const message = this.recalled.get(messageId);
      if (!message || this.undecidedIds.includes(messageId)) continue;
      this.recent.delete(messageId);
      const at = this.waiting.findIndex((each) => each.messageId === messageId);
      if (at !== -1) this.waiting.splice(at, 1);
      this.held.set(messageId, Promise.resolve());
      this.pushNext(message);
    }
  }

  /** Ids of messages that were taken and that codex never confirmed, in order. */
  get ids(): string[] {
    return [...this.undecided, ...this.urgent, ...this.waiting].map(({ messageId }) => messageId);
  }

  private release(messageId: string): void {
    this.held.delete(messageId);
    this.remember(messageId);
  }

  private remember(messageId: string): void {
    this.recent.add(messageId);
    if (this.recent.size > REMEMBERED) this.recent.delete(this.recent.values().next().value!);
  }
}
