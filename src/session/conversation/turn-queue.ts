import type { TaskMessage } from '../../contract/index.js';
import { Notifier } from '../../async/notifier.js';
import { SerialQueue } from '../../async/serial-queue.js';
import { Countdown } from './countdown.js';
import type { EndDecision } from './end-decision.js';
import type { ThreadEnd } from './end-rule.js';
import { findOut } from './find-out.js';
import { RunningTurn } from './running-turn.js';
import { startTurn, steerTurn } from './send-message.js';
import type { Phase } from './turn-phase.js';
import type { TurnQueueOptions } from './turn-queue-options.js';

/** Turns messages into turns, one at a time and in order, until the session ends. */
export class TurnQueue {
  private phase: Phase = { kind: 'waiting' };
  /** Messages on their way into the running turn. */
  private readonly steering = new SerialQueue();
  /** Messages that are being taken: recorded, then queued or sent into the turn. */
  private arriving = 0;
  private isIdleTold = false;
  /** Begins no further turn. */
  private isHeld = false;
  private readonly resting = new Notifier();
  private endings: ((end: ThreadEnd) => void)[] = [];

  constructor(
    private readonly options: TurnQueueOptions,
    private readonly ending: EndDecision,
  ) {}

  get turn(): RunningTurn | null {
    return this.phase.kind === 'turn' ? this.phase.turn : null;
  }

  /** Codex's id of the running turn; null: none runs, or Codex has not named it. */
  get runningId(): string | null {
    return this.turn?.id ?? null;
  }

  get isBusy(): boolean {
    return (
      this.phase.kind === 'turn' ||
      this.phase.kind === 'between' ||
      (this.options.agents.areWorking && !this.isOver) ||
      this.hasMessages
    );
  }

  get takesMessages(): boolean {
    const isOver = this.phase.kind === 'ended' && this.phase.end.kind !== 'limited';
    return !this.ending.isClosing && !isOver && !this.isSuperseded;
  }

  get hasEnded(): boolean {
    return this.phase.kind === 'ended';
  }

  /** Whether it ended or was detached. */
  get isOver(): boolean {
    return this.hasEnded || this.isSuperseded;
  }

  get isSuperseded(): boolean {
    return this.phase.kind === 'superseded';
  }

  /** Starts with what is queued. Idempotent. */
  begin(): void {
    if (this.phase.kind === 'waiting') void this.goOn();
  }

  /** Continues with the next message unless something runs. */
  next(): void {
    // A steering message that comes too late goes before the others.
    if (this.phase.kind !== 'idle' || this.ending.isClosing || this.isHeld || !this.steering.isIdle) return;
    const message = this.options.queue.shift();
    if (!message) return;
    const turn = this.enterTurn();
    turn.messageIds.add(message.messageId);
    void startTurn(turn, message, this.options, this);
    if (this.options.cut.has(turn)) void turn.interrupt('interrupt');
  }

  /** A session that ended by itself takes messages again; one that was closed or waits for quota does not. */
  reopen(): void {
    if (this.phase.kind !== 'ended' || this.ending.isClosing) return;
    if (this.phase.end.kind === 'closed' || this.phase.end.kind === 'limited') return;
    this.phase = { kind: 'idle', limit: null };
  }

  /** The message of the turn that begins once the work after the last turn is done; null: no turn waits for that. */
  get dueMessageId(): string | null {
    return this.phase.kind === 'between' ? this.options.queue.first : null;
  }

  /** No sub-agent works any more: continues what waited for that. */
  agentsRest(): void {
    if (this.phase.kind !== 'idle') return;
    this.rest();
    if (this.phase.kind === 'idle') this.options.onIdle();
  }

  /** Ends the session and interrupts a running turn first. */
  close(): void {
    this.ending.close();
    if (this.turn) void this.turn.interrupt('close');
    else if (this.phase.kind !== 'between') this.rest();
  }

  /** Begins no further turn; resolves when none runs. Waiting messages continue in the next process. */
  hold(): Promise<void> {
    this.isHeld = true;
    if (this.phase.kind !== 'turn' && this.phase.kind !== 'between') return Promise.resolve();
    return this.resting.wait();
  }

  /** Decides how the session ends once nothing runs or waits; a running turn gets a short time. */
  conclude(end: ThreadEnd): void {
    this.ending.conclude(end);
    this.turn?.endSoon();
    this.reconsider();
  }

  /** The answer of `holds` may have changed. */
  reconsider(): void {
    if (this.phase.kind === 'idle') this.rest();
  }

  /** Ends the session with whatever runs: Codex is gone, or hangs. */
  breakOff(reason: string, end: ThreadEnd): void {
    this.ending.close();
    this.turn?.breakOff(reason);
    this.end(end);
  }

  /** Stops without an end: another session continues what runs and waits. */
  leave(): void {
    this.leaveIdle();
    this.turn?.leave();
    this.options.agents.leave();
    this.phase = { kind: 'superseded' };
  }

  /** Resolves with the end of the session, at once when it has ended; never once it was detached. */
  whenEnded(): Promise<ThreadEnd> {
    if (this.phase.kind === 'ended') return Promise.resolve(this.phase.end);
    return new Promise((resolve) => this.endings.push(resolve));
  }

  /** Codex began a turn: ours, or one of another client of the app-server. */
  started(id: string): void {
    if (!this.isOver) (this.turn ?? this.enterTurn()).began(id);
  }

  /** Keeps the session from ending while a message is being taken, until the returned function is called. */
  expect(): () => void {
    this.arriving++;
    if (this.phase.kind === 'idle') this.phase.limit?.stop();
    return () => {
      this.arriving--;
      if (this.phase.kind === 'idle' && this.arriving === 0) this.rest();
    };
  }

  /** Puts a message into the running turn; if that has ended meanwhile, it becomes the next message. */
  async steer(message: TaskMessage): Promise<void> {
    const { queue } = this.options;
    await this.steering.run(() =>
      steerTurn(this.turn, message, this.options).catch(() => queue.pushNext(message)),
    );
    if (this.phase.kind === 'idle') this.rest();
  }

  private enterTurn(): RunningTurn {
    this.leaveIdle();
    this.isIdleTold = false;
    this.options.agents.alone(false);
    const turn = new RunningTurn({
      ...this.options,
      onInterrupt: (reason) => void this.options.agents.interrupt(reason),
      onOver: (outcome) => {
        this.ending.last = outcome;
        this.options.agents.alone(true);
        this.options.onTurnOver(outcome);
        void this.goOn({ afterTurn: true });
      },
      onStuck: (reason) => {
        if (this.turn !== turn || reason === 'interrupt') return;
        this.breakOff(reason, this.ending.whenStuck());
      },
    });
    this.phase = { kind: 'turn', turn };
    if (this.options.isAsking()) turn.pause(true);
    this.options.choice.turnBegins();
    return turn;
  }

  /** Decides what a turn means and records the consequences before its checkpoint. */
  private async goOn({ afterTurn = false } = {}): Promise<void> {
    const { phase, options, ending } = this;
    const more = findOut(ending.last, options, ending.isClosing);
    if (more) {
      const found = await more;
      if (this.phase !== phase) return;
      ending.amendLast(found);
    }
    if (afterTurn && options.betweenTurns) {
      this.phase = { kind: 'between' };
      await options.betweenTurns();
      if (this.phase.kind !== 'between') return;
    }
    this.rest();
  }

  /** Nothing runs: continues with the queue, or ends, or waits for a message. */
  private rest(): void {
    const { idleMs, onIdle } = this.options;
    this.leaveIdle();
    const goesOn =
      !this.ending.isClosing && !this.ending.isLimited && (this.hasMessages || this.arriving > 0);
    this.resting.notifyAll();
    const waits =
      !this.ending.isClosing && (this.options.agents.areWorking || this.options.holds?.() === true);
    const end = goesOn || waits ? null : this.ending.whenIdle();
    if (end) return this.end(end);
    const limit = goesOn || waits ? null : new Countdown(idleMs, () => this.end({ kind: 'closed' }));
    this.phase = { kind: 'idle', limit };
    if (goesOn) this.next();
    else if (this.ending.last && !this.isIdleTold) {
      this.isIdleTold = true;
      onIdle();
    }
  }

  private end(end: ThreadEnd): void {
    if (this.isOver) return;
    this.resting.notifyAll();
    this.leaveIdle();
    if (this.options.agents.areWorking) void this.options.agents.interrupt('close');
    this.phase = { kind: 'ended', end };
    for (const resolve of this.endings.splice(0)) resolve(end);
  }

  private get hasMessages(): boolean {
    return this.options.queue.size > 0 || !this.steering.isIdle;
  }

  private leaveIdle(): void {
    if (this.phase.kind === 'idle') this.phase.limit?.stop();
  }
}
