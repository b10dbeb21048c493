import type { Control } from '../../codex/models.js';
import type { ThreadItem } from '../../codex/protocol.js';
import {
  NO_USAGE,
  type ControlChange,
  type PermissionDecision,
  type Progress,
  type SessionReport,
  type TaskMessage,
} from '../../contract.js';
import { TaskError, type ErrorCode } from '../../errors.js';
import type { ConversationOptions } from './conversation-options.js';
import type { ConversationEnd, TurnOutcome } from './end-rule.js';
import { EventRouter } from './event-router.js';
import { sinksOf, type Progress as TurnProgress } from './event-sinks.js';
import { imagePaths } from './image-inputs.js';
import { MessageQueue } from '../records/message-queue.js';
import { Pace } from './pace.js';
import { ModelChoice } from './model-choice.js';
import { PermissionGate } from './permission-gate.js';
import { TurnItems } from './turn-items.js';
import { TurnLine } from './turn-line.js';
import { followUsageLimits } from './usage-limit.js';

export type { ConversationOptions } from './conversation-options.js';
export type { ConversationEnd } from './end-rule.js';

/** Reports of progress: each is a few events of the workflow's history, so one a minute after the first few. */
const PROGRESS_BURST = 10;
const PROGRESS_MS = 60_000;

/**
 * One thread of codex: messages in order, one turn at a time, every event into the journal. It ends by
 * itself in mode `task` when nothing runs and nothing is queued; in both modes on `close` or the idle limit.
 */
export class Conversation {
  readonly gate: PermissionGate;
  private revision = 0;
  private readonly queue: MessageQueue;
  private readonly choice: ModelChoice;
  private readonly line: TurnLine;
  private readonly items = new TurnItems();
  private readonly router: EventRouter;
  private readonly progress: TurnProgress;
  private agentProgress: Progress | null = null;
  private readonly progressPace = new Pace(PROGRESS_BURST, PROGRESS_MS);

  constructor(private readonly options: ConversationOptions) {
    const { codex, journal, ledger, link, threadId, recalled } = options;
    const { items } = this;
    this.progress = {
      turns: recalled?.turns ?? 0,
      usage: recalled?.usage ?? NO_USAGE,
      finalMessage: recalled?.finalMessage ?? null,
    };
    const limits = followUsageLimits(codex, recalled?.rateLimits);
    this.queue = new MessageQueue(ledger);
    this.choice = new ModelChoice({
      ...options,
      emit: (event) => {
        journal.append(JSON.stringify(event));
        if (event.type === 'x-optio-control-update')
          link.sessionChanged({ ...this.report(), controls: event.controls });
      },
    });
    this.gate = new PermissionGate({
      ...options,
      answers: codex,
      changesOf: (itemId) => items.changesOf(itemId),
      onCut: (itemId) => items.cut(itemId),
      tell: (requestId, text) => this.tell(requestId, text),
      onOpen: (isOpen) => this.line.turn?.pause(isOpen),
    });
    this.line = new TurnLine({
      ...options,
      items,
      queue: this.queue,
      choice: this.choice,
      limits,
      onEnding: (status, reason) => this.gate.turnEnded(threadId, status, reason),
      onTurnOver: (outcome) => this.turnOver(outcome),
      onIdle: () => link.sessionChanged(this.report()),
      last: recalled?.lastTurn ?? null,
    });
    this.router = new EventRouter(threadId, journal, items, {
      ...sinksOf({
        gate: this.gate,
        items,
        line: this.line,
        queue: this.queue,
        journal,
        progress: this.progress,
        limits,
      }),
      noted: (event) => options.checkpoints?.note(event),
      manyCame: () => options.checkpoints?.among(items.openNow()),
      modelSeen: (model, effort) => {
        if (this.choice.observed(model, effort)) link.sessionChanged(this.report());
      },
    });
  }

  /** Starts with what is queued. Repeatable. */
  begin(): void {
    this.line.begin();
  }

  /**
   * Takes a message once by its id; resolves when that is durable. `false`: it was here before.
   * @throws TaskError `SessionNotHere` after the end, unless `reopen`; `BadInput` for an image not below work;
   * `Unavailable` when another conversation took the place of this one
   */
  async accept(message: TaskMessage, { reopen = false } = {}): Promise<boolean> {
    await imagePaths(message.images, this.options.workDir);
    // What is written from here on is seen by the conversation that takes the place of this one.
    if (this.line.isLeft) throw new TaskError('Unavailable', 'Codex is being started again');
    if (!this.line.takesMessages && !reopen)
      throw new TaskError('SessionNotHere', `The session takes no more messages`);
    const taken = await this.queue.take(message);
    if (!taken) return false;
    // Whoever sent it hears that it was taken before its first event goes out.
    if (taken.steer && this.line.turn) setImmediate(() => void this.line.steer(taken));
    else {
      this.queue.push(taken);
      this.line.reopen();
      setImmediate(() => this.line.next());
    }
    return true;
  }

  decide(decision: PermissionDecision): Promise<void> {
    return this.gate.answer(decision);
  }

  /** Interrupts the running turn and what it left running. */
  async interrupt(): Promise<void> {
    // A message that was taken a moment ago is what its sender means, though its turn has not begun.
    this.line.next();
    await this.line.turn?.interrupt('interrupt');
  }

  /** Ends the session: no more messages, the running turn is interrupted. `whenEnded` tells when it has ended. */
  close(): Promise<void> {
    this.line.close();
    return Promise.resolve();
  }

  /** Decides how the session ends when nothing is left to do. */
  conclude(end: ConversationEnd): void {
    this.line.conclude(end);
  }

  /** What `holds` said may have changed. */
  reconsider(): void {
    this.line.reconsider();
  }

  /** What the agent says of its progress; the workflow hears of it now and then, and with every report. */
  setProgress({ percent, text }: Progress): void {
    this.agentProgress = { percent: percent ?? this.agentProgress?.percent ?? null, text };
    if (this.progressPace.take()) this.options.link.sessionChanged(this.report());
  }

  /** Sets the model or the effort from the next turn on. Other ids are ignored. */
  setControl(change: ControlChange): void {
    this.choice.set(change);
  }

  controls(): Control[] {
    return this.choice.controls();
  }

  report(): SessionReport {
    const { choice, options, line } = this;
    const { turns, usage, lastError } = this.progress;
    // The clock carries it over the worker's restarts.
    this.revision = Math.max(this.revision + 1, Date.now());
    return {
      revision: this.revision,
      activity: line.isBusy ? 'running' : 'idle',
      threadId: options.threadId,
      model: choice.model,
      turns,
      usage,
      ...(lastError !== undefined && { lastError }),
      ...(this.agentProgress && { progress: this.agentProgress }),
    };
  }

  /** Codex's id of the turn that runs; null: none, or codex has not named it. */
  get runningTurn(): string | null {
    return this.line.turn?.id ?? null;
  }

  /** The last agent message of the last turn. */
  get finalMessage(): string | null {
    return this.progress.finalMessage;
  }

  /** Messages that were taken and that codex never had, as far as is known here. */
  get dropped(): string[] {
    return this.queue.ids;
  }

  /** Messages whose sending an earlier process began and did not see confirmed; see `decideUnconfirmed`. */
  get unconfirmed(): string[] {
    return this.queue.undecidedIds;
  }

  /** Sends those again that codex's thread has not: `inThread` knows the `clientId`s of its user messages. */
  decideUnconfirmed(inThread: (messageId: string) => boolean): void {
    this.queue.decide(inThread);
    this.line.next();
  }

  /** Goes on with a turn that an earlier process saw begin. */
  takeUp(turnId: string, openItems: readonly ThreadItem[]): void {
    this.line.started(turnId);
    for (const item of openItems) this.items.recalled(item);
  }

  /** Messages whose turn broke off with its process: they come next, in their order. */
  sendAgain(turnId: string, messageIds: readonly string[]): Promise<void> {
    return this.queue.again(turnId, messageIds);
  }

  /** The process that asked the earlier requests is gone: whoever still shows one hears that. */
  dropEarlierRequests(): void {
    this.gate.dropEarlier();
  }

  get hasEnded(): boolean {
    return this.line.hasEnded;
  }

  whenEnded(): Promise<ConversationEnd> {
    return this.line.whenEnded();
  }

  /** The app-server is gone or the host gives up: whatever runs is over. */
  fail(code: ErrorCode, message: string): void {
    this.endWithout({ kind: 'failed', code, message });
  }

  /** Codex is gone: the session ends like this. */
  endWithout(end: ConversationEnd): void {
    this.line.breakOff('app-server-ended', end);
    this.gate.settleAll('app-server-ended');
  }

  /**
   * Stops here, without an end, so that another conversation goes on from the journal and the ledger. Nothing is
   * written from now on. `isGone`: codex is gone with the requests it asked.
   */
  leave({ isGone }: { isGone: boolean }): void {
    this.line.leave();
    if (isGone) this.gate.settleAll('app-server-ended');
    else this.gate.leave();
  }

  hold(): Promise<void> {
    return this.line.hold();
  }

  /** Resolves when codex has begun the turn that it was asked for, if there is one. */
  async whenSent(): Promise<void> {
    await this.line.turn?.begun;
  }

  /** Whether it is over for good, or about to be. */
  get isClosing(): boolean {
    return this.line.isClosing;
  }

  onNotification(method: string, params: unknown, raw: string): void {
    this.router.route(method, params, raw);
  }

  onRequest(id: string | number, method: string, params: unknown): void {
    this.gate.ask(id, method, params);
  }

  private turnOver(outcome: TurnOutcome): void {
    const { id, status, error } = outcome;
    const { journal, ledger, link, onTurnEnded, checkpoints } = this.options;
    checkpoints?.turnEnded(outcome);
    if (id !== null) this.router.turnEnded(id);
    if (status === 'completed') this.progress.turns++;
    if (error !== null) this.progress.lastError = error;
    void Promise.all([journal.sync(), ledger.sync()]).catch(() => undefined);
    link.flush();
    onTurnEnded?.();
  }

  /** Tells the model why it was denied: codex's answer to a request cannot carry words. */
  private async tell(requestId: string, text: string): Promise<void> {
    const message = await this.queue.take({ messageId: `deny-${requestId}`, text }).catch(() => null);
    if (message) await this.line.steer(message);
  }
}
