import { randomUUID } from 'node:crypto';
import type { Control } from '../../codex/models.js';
import type { ThreadItem } from '../../codex/protocol.js';
import type { PermissionDecision, Progress, SessionReport, TaskMessage } from '../../contract/index.js';
import type { Interrupt, KeyedControl } from '../../contract/activities.js';
import { TaskError, type ErrorCode } from '../../errors.js';
import { connectParts, type ThreadParts } from './connect-parts.js';
import type { ThreadOptions } from './thread-options.js';
import type { ThreadEnd } from './end-rule.js';
import { checkImages } from './image-inputs.js';
import type { PermissionGate } from './permission-gate.js';
import { openDoneOnce, type DoOnce } from './done-once.js';
import { overdueTurns } from '../../task-folder/ledger.js';

export type { ThreadOptions } from './thread-options.js';
export type { ThreadEnd } from './end-rule.js';

/**
 * One thread of codex and what a session does on it: messages in order, one turn at a time, every event into the journal. It ends by
 * itself in mode `task` when nothing runs and nothing is queued; in both modes on `close` or the idle limit.
 */
export class Thread {
  readonly gate: PermissionGate;
  private readonly parts: ThreadParts;
  /** Resolves when the message that came last is in its place in the queue. */
  private lastPlaced: Promise<void> = Promise.resolve();
  private readonly controlOnce: DoOnce;
  /** Turns of earlier processes. */
  private readonly overdue: ReadonlySet<string>;

  constructor(private readonly options: ThreadOptions) {
    this.parts = connectParts(options);
    this.gate = this.parts.gate;
    const { past } = options.ledger;
    this.overdue = overdueTurns(past);
    this.controlOnce = openDoneOnce(past.flatMap((each) => (each.t === 'control' && each.changeId) || []));
  }

  /** Starts with what is queued. Idempotent. */
  begin(): void {
    this.parts.line.begin();
  }

  /**
   * Takes a message once by its id, in the order of the calls; resolves when that is durable. `false`: it was here
   * before.
   * @throws TaskError `SessionNotHere` after the end, unless `reopen`; `BadInput` for an image not below work;
   * `Unavailable` when another session goes on with the thread
   */
  async accept(message: TaskMessage, { reopen = false } = {}): Promise<boolean> {
    const { line, queue } = this.parts;
    const arrived = line.expect();
    const taken = await this.inOrder(checkImages(message.images, this.options.workDir), () => {
      // What is written from here on is seen by the session that goes on with the thread.
      if (line.isLeft) throw new TaskError('Unavailable', 'Codex is being started again');
      const isOpen = line.takesMessages || reopen;
      if (!isOpen) throw new TaskError('SessionNotHere', `The session takes no more messages`);
      return queue.take(message);
    }).catch((error: unknown) => {
      arrived();
      throw error;
    });
    const steers = taken?.steer === true && line.turn !== null;
    if (taken && !steers) {
      queue.push(taken);
      line.reopen();
    }
    // Whoever sent it hears that it was taken before its first event goes out.
    setImmediate(() => {
      if (taken && steers) void line.steer(taken);
      arrived();
      line.next();
    });
    return taken !== null;
  }

  /** Begins `place` once `checked` is, and all that came before has its place. */
  private async inOrder<T>(checked: Promise<unknown>, place: () => Promise<T>): Promise<T> {
    const earlier = this.lastPlaced;
    let placed: () => void = () => undefined;
    this.lastPlaced = new Promise((resolve) => (placed = resolve));
    try {
      await checked.finally(() => earlier);
      return place();
    } finally {
      placed();
    }
  }

  decide(decision: PermissionDecision): Promise<void> {
    return this.gate.answer(decision);
  }

  /** Interrupts the running turn and what it left running, once by the id of the word for it. */
  interrupt({ interruptId }: Interrupt = { interruptId: randomUUID() }): Promise<void> {
    return this.parts.interrupt(interruptId);
  }

  /** Ends the session: no more messages, the running turn is interrupted. `whenEnded` tells when it has ended. */
  close(): Promise<void> {
    this.parts.line.close();
    return Promise.resolve();
  }

  /** The same, on the caller's word: a worker that comes after this one closes it too. */
  async closeForGood(): Promise<void> {
    // Ends even when the disk has no room for the record.
    await this.options.ledger.write({ t: 'close' }).catch(() => undefined);
    this.parts.line.close();
  }

  /** A sub-agent that began to work before this process. */
  subAgentFound(threadId: string, turnId: string | null): void {
    this.parts.agents.began(threadId, turnId);
  }

  /** Decides how the session ends when nothing is left to do. */
  conclude(end: ThreadEnd): void {
    this.parts.line.conclude(end);
  }

  /** What `holds` said may have changed. */
  reconsider(): void {
    this.parts.line.reconsider();
  }

  /** What the agent says of its progress; the workflow hears of it now and then, and with every report. */
  setProgress(progress: Progress): void {
    this.parts.reports.setProgress(progress);
  }

  /**
   * Sets the model or the effort from the next turn on, once by the id of the change; other controls are ignored.
   * Resolves when that is durable.
   * @throws what the disk says
   */
  setControl({ changeId, ...change }: KeyedControl): Promise<void> {
    return this.controlOnce(changeId ?? randomUUID(), async () => {
      if (!this.parts.choice.set(change)) return;
      await this.options.ledger.write({ t: 'control', change, ...(changeId && { changeId }) });
    });
  }

  controls(): Control[] {
    return this.parts.choice.controls();
  }

  report(): SessionReport {
    return this.parts.reports.report();
  }

  get threadId(): string {
    return this.options.threadId;
  }

  /** Codex's id of the turn that runs; null: none, or codex has not named it. */
  get runningTurn(): string | null {
    return this.parts.line.turn?.id ?? null;
  }

  /** The last agent message of the last turn. */
  get finalMessage(): string | null {
    return this.parts.progress.finalMessage;
  }

  /** Messages that were taken and that codex never had, as far as is known here. */
  get dropped(): string[] {
    return this.parts.queue.ids;
  }

  /** Messages whose sending an earlier process began and did not see confirmed; see `decideUnconfirmed`. */
  get unconfirmed(): string[] {
    return this.parts.queue.undecidedIds;
  }

  /** Sends those again that codex's thread has not: `inThread` knows the `clientId`s of its user messages. */
  decideUnconfirmed(inThread: (messageId: string) => boolean): void {
    this.parts.queue.decide(inThread);
    this.parts.line.next();
  }

  /** Goes on with a turn that an earlier process saw begin. */
  takeUp(turnId: string, openItems: readonly ThreadItem[]): void {
    const { line } = this.parts;
    line.started(turnId);
    if (this.overdue.has(turnId)) line.turn?.wasOverdue();
    for (const [messageId, into] of this.options.recalled?.messages ?? [])
      if (into === turnId) line.turn?.messageIds.add(messageId);
    for (const item of openItems) this.parts.items.recalled(item);
  }

  /** Interrupts the turn that was taken up, if an earlier process was to. */
  interruptAgain(): void {
    this.parts.line.interruptAgain();
  }

  /** Messages whose turn broke off with its process: they come next, in their order, unless its time was over. */
  async sendAgain(turnId: string, messageIds: readonly string[]): Promise<void> {
    if (this.overdue.has(turnId)) return;
    return this.parts.queue.again(turnId, messageIds);
  }

  /** The process that asked the earlier requests is gone: whoever still shows one hears that. */
  dropEarlierRequests(): void {
    this.gate.dropEarlier();
  }

  get hasEnded(): boolean {
    return this.parts.line.hasEnded;
  }

  whenEnded(): Promise<ThreadEnd> {
    return this.parts.line.whenEnded();
  }

  /** The app-server is gone or the host gives up: whatever runs is over. */
  fail(code: ErrorCode, message: string): void {
    this.endWithout({ kind: 'failed', code, message });
  }

  /** Codex is gone: the session ends like this. */
  endWithout(end: ThreadEnd): void {
    this.parts.line.breakOff('app-server-ended', end);
    this.gate.settleAll('app-server-ended');
  }

  /**
   * Stops here, without an end, so that another session goes on from the journal and the ledger. Nothing is
   * written from now on. `isGone`: codex is gone with the requests it asked.
   */
  leave({ isGone }: { isGone: boolean }): void {
    this.parts.line.leave();
    if (isGone) this.gate.settleAll('app-server-ended');
    else this.gate.leave();
  }

  hold(): Promise<void> {
    return this.parts.line.hold();
  }

  /** Resolves when codex has begun the turn that it was asked for, if there is one. */
  async whenSent(): Promise<void> {
    await this.parts.line.turn?.begun;
  }

  /** Whether it is over for good, or about to be. */
  get isClosing(): boolean {
    return this.parts.line.isClosing;
  }

  onNotification(method: string, params: unknown, raw: string): void {
    this.parts.router.route(method, params, raw);
  }

  onRequest(id: string | number, method: string, params: unknown): void {
    this.gate.ask(id, method, params);
  }
}
