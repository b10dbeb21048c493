import { randomUUID } from 'node:crypto';
import { SerialQueue } from '../../async/serial-queue.js';
import type { ThreadItem } from '../../codex/protocol.js';
import type { SessionReport, TaskMessage } from '../../contract/index.js';
import type { Interrupt, KeyedControl } from '../../contract/activities.js';
import { TaskError, type ErrorCode } from '../../errors.js';
import { ThreadParts } from './thread-parts.js';
import type { ThreadOptions } from './thread-options.js';
import type { ThreadEnd } from './end-rule.js';
import { checkMessage } from './check-message.js';
import { openDoneOnce, type DoOnce } from './done-once.js';
import { overdueTurns } from '../../task-folder/ledger.js';

export type { ThreadOptions } from './thread-options.js';
export type { ThreadEnd } from './end-rule.js';

/**
 * One thread of codex and what a session does on it: messages in order, one turn at a time, every event into the
 * journal. The session ends by itself in mode `task` when nothing runs and nothing is queued; in both modes when it is
 * closed or idle for too long. What one part alone does is asked of that part; here is what crosses them.
 */
export class Thread extends ThreadParts {
  /** Messages on their way to their places in the queue, in the order of the calls. */
  readonly #arriving = new SerialQueue();
  readonly #controlOnce: DoOnce;
  /** Turns of earlier processes. */
  readonly #overdue: ReadonlySet<string>;

  constructor(options: ThreadOptions) {
    super(options);
    const { past } = options.ledger;
    this.#overdue = overdueTurns(past);
    this.#controlOnce = openDoneOnce(past.flatMap((each) => (each.t === 'control' && each.changeId) || []));
  }

  get id(): string {
    return this.options.threadId;
  }

  report(): SessionReport {
    return this.reports.report();
  }

  /**
   * Takes a message once by its id, in the order of the calls; resolves when it is durable. `false`: it is known
   * already.
   * @throws TaskError `SessionNotHere` after the end, unless `reopen`; `BadInput` for an image not below work or an
   * invalid pattern in a schema; `Unavailable` when another session continues the thread
   */
  async accept(message: TaskMessage, { reopen = false } = {}): Promise<boolean> {
    const { turns, queue } = this;
    const arrived = turns.expect();
    const taken = await this.#inOrder(checkMessage(message, this.options.workDir), () => {
      // What is written from here on is seen by the session that goes on with the thread.
      if (turns.isSuperseded) throw new TaskError('Unavailable', 'Codex is being started again');
      const isOpen = turns.takesMessages || reopen;
      if (!isOpen) throw new TaskError('SessionNotHere', `The session takes no more messages`);
      return queue.take(message);
    }).catch((error: unknown) => {
      arrived();
      throw error;
    });
    const steers = taken?.steer === true && turns.turn !== null;
    if (taken && !steers) {
      queue.push(taken);
      turns.reopen();
    }
    // The sender gets its acknowledgement before the message's first event is sent.
    setImmediate(() => {
      if (taken && steers) void turns.steer(taken);
      arrived();
      turns.next();
    });
    return taken !== null;
  }

  /** Runs `place` after `checked`, and after all earlier messages have their place. */
  async #inOrder<T>(checked: Promise<unknown>, place: () => Promise<T>): Promise<T> {
    // A failure while earlier messages are still checked is handled in its turn.
    checked.catch(() => undefined);
    const { placed } = await this.#arriving.run(async () => {
      await checked;
      return { placed: place() };
    });
    return placed;
  }

  /** Interrupts the running turn and the commands it left running, once by the id of the request. */
  interrupt({ interruptId }: Interrupt = { interruptId: randomUUID() }): Promise<void> {
    return this.interrupts.interrupt(interruptId);
  }

  /**
   * Ends the session, requested by its caller: takes no more messages and interrupts the running turn. A later worker
   * closes it too. `turns.whenEnded` tells when it has ended.
   */
  async close(): Promise<void> {
    // Ends even when the disk has no room for the record.
    await this.options.ledger.write({ t: 'close' }).catch(() => undefined);
    this.turns.close();
  }

  /**
   * Sets the model or the effort from the next turn on, once by the id of the change; ignores other controls.
   * Resolves when that is durable.
   * @throws the disk's error
   */
  setControl({ changeId, ...change }: KeyedControl): Promise<void> {
    return this.#controlOnce(changeId ?? randomUUID(), async () => {
      if (!this.choice.set(change)) return;
      await this.options.ledger.write({ t: 'control', change, ...(changeId && { changeId }) });
    });
  }

  /**
   * Sends again the messages that are missing in Codex's thread: `inThread` knows the `clientId`s of its user
   * messages.
   */
  decideUnconfirmed(inThread: (messageId: string) => boolean): void {
    this.queue.decide(inThread);
    this.turns.next();
  }

  /** Continues a turn that an earlier process saw begin. */
  takeUp(turnId: string, openItems: readonly ThreadItem[]): void {
    const { turns } = this;
    turns.started(turnId);
    if (this.#overdue.has(turnId)) turns.turn?.wasOverdue();
    for (const [messageId, into] of this.options.recalled?.messages ?? [])
      if (into === turnId) turns.turn?.messageIds.add(messageId);
    for (const item of openItems) this.items.recalled(item);
  }

  /** Requeues messages whose turn broke off with its process: they come next, in order, unless its time was over. */
  async sendAgain(turnId: string, messageIds: readonly string[]): Promise<void> {
    if (this.#overdue.has(turnId)) return;
    return this.queue.again(turnId, messageIds);
  }

  /** The app-server is gone or the host gives up: ends whatever runs. */
  fail(code: ErrorCode, message: string): void {
    this.endWithout({ kind: 'failed', code, message });
  }

  /** Codex is gone: ends the session with this outcome. */
  endWithout(end: ThreadEnd): void {
    this.turns.breakOff('app-server-ended', end);
    this.permissions.settleAll('app-server-ended');
  }

  /**
   * Stops without an end, so that another session continues from the journal and the ledger. Writes nothing from now
   * on. `isGone`: Codex is gone with its requests.
   */
  leave({ isGone }: { isGone: boolean }): void {
    this.turns.leave();
    if (isGone) this.permissions.settleAll('app-server-ended');
    else this.permissions.leave();
  }
}
