import type { TaskMessage } from '../../contract/index.js';
import type { Aim } from './interrupts.js';
import { Countdown } from './countdown.js';
import { endWhenIdle, endWhenStuck, type ThreadEnd } from './end-rule.js';
import { RunningTurn, type InterruptReason } from './running-turn.js';
import { startTurn, steerTurn } from './send-message.js';
import type { TurnQueueOptions } from './turn-queue-options.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';

/** How long a turn may go on in which the agent ended the task: for its last words. */
const GRACE_MS = 30_000;

type Phase =
  | { is: 'waiting' }
  | { is: 'idle'; limit: Countdown | null }
  | { is: 'turn'; turn: RunningTurn }
  /** A turn is over, and what follows it is not. */
  | { is: 'between' }
  | { is: 'ended'; end: ThreadEnd }
  /** Another session took its place. */
  | { is: 'left' };

/** Makes turns of messages, one at a time and in order, until the session ends. */
export class TurnQueue {
  private phase: Phase = { is: 'waiting' };
  /** Messages on their way into the running turn. */
  private steering = 0;
  /** Messages that are being taken: written down, and then in the queue or on their way into the turn. */
  private arriving = 0;
  private isIdleTold = false;
  /** Settles when the message that steered last has arrived, or has not. */
  private lastSteer: Promise<void> = Promise.resolve();
  private closing = false;
  /** No further turn begins. */
  private isHeld = false;
  private resting: (() => void)[] = [];
  private verdict: ThreadEnd | null = null;
  private grace: NodeJS.Timeout | undefined;
  private last: TurnOutcome | null;
  private endings: ((end: ThreadEnd) => void)[] = [];

  constructor(private readonly options: TurnQueueOptions) {
    this.last = options.last;
  }

  get turn(): RunningTurn | null {
    return this.phase.is === 'turn' ? this.phase.turn : null;
  }

  get isBusy(): boolean {
    return (
      this.phase.is === 'turn' ||
      this.phase.is === 'between' ||
      (this.options.agents.areWorking && !this.isOver) ||
      this.options.queue.size + this.steering > 0
    );
  }

  get takesMessages(): boolean {
    const isOver = this.phase.is === 'ended' && this.phase.end.kind !== 'limited';
    return !this.closing && !isOver && !this.isLeft;
  }

  /** Whether the session is over for good, or about to be. */
  get isClosing(): boolean {
    return this.closing;
  }

  get hasEnded(): boolean {
    return this.phase.is === 'ended';
  }

  /** Whether it ended or was left. */
  get isOver(): boolean {
    return this.hasEnded || this.isLeft;
  }

  get isLeft(): boolean {
    return this.phase.is === 'left';
  }

  /** Starts with what is queued. Idempotent. */
  begin(): void {
    if (this.phase.is === 'waiting') void this.goOn();
  }

  /** Goes on with the next message unless something runs. */
  next(): void {
    // A message that steers and comes too late goes before the others.
    if (this.phase.is !== 'idle' || this.closing || this.isHeld || this.steering > 0) return;
    const message = this.options.queue.shift();
    if (!message) return;
    const turn = this.enterTurn();
    turn.messageIds.add(message.messageId);
    void startTurn(turn, message, this.options, this);
    if (this.options.cut.has(turn)) void turn.interrupt('interrupt');
  }

  /** A session that ended by itself takes up messages again; one that was closed or waits for quota does not. */
  reopen(): void {
    if (this.phase.is !== 'ended' || this.closing) return;
    if (this.phase.end.kind === 'closed' || this.phase.end.kind === 'limited') return;
    this.phase = { is: 'idle', limit: null };
  }

  /** What is to be interrupted by a word that comes now. */
  aim(): Aim {
    // A message that was taken a moment ago is what its sender means, though its turn has not begun.
    this.next();
    const { turn } = this;
    const next = this.phase.is === 'between' ? this.options.queue.first : null;
    return { turn, messageId: turn ? ([...turn.messageIds][0] ?? null) : next };
  }

  /** Interrupts that, and what works beside it, unless a later turn runs by now. Resolves when it was asked. */
  async interrupt(aim: Aim): Promise<void> {
    const { turn } = this;
    const { agents, cut } = this.options;
    if (aim.turn === null && aim.messageId !== null) cut.add(aim.messageId);
    if (turn && turn !== aim.turn && !cut.has(turn)) return;
    if (!turn && this.last && agents.areWorking) this.last = { ...this.last, status: 'interrupted' };
    await Promise.all([turn?.interrupt('interrupt'), agents.interrupt('interrupt')]);
  }

  /** Interrupts a turn that was taken up, if an earlier process was to. */
  interruptAgain(): void {
    if (this.turn?.isOverdue) void this.turn.interrupt('turn-timed-out');
    else if (this.turn && this.options.cut.has(this.turn)) void this.turn.interrupt('interrupt');
  }

  /** No sub-agent works any more: what waited for that goes on. */
  agentsRest(): void {
    if (this.phase.is !== 'idle') return;
    this.rest();
    if (this.phase.is === 'idle') this.options.onIdle();
  }

  /** Sub-agents worked longer than a turn may. */
  agentsTimedOut(): void {
    if (this.last) this.last = { ...this.last, timedOut: true };
  }

  /** Ends the session; a turn that runs is interrupted first. */
  close(): void {
    this.closing = true;
    if (this.turn) void this.turn.interrupt('close');
    else if (this.phase.is !== 'between') this.rest();
  }

  /** Begins no further turn; resolves when none runs. What waits goes on in the next process. */
  hold(): Promise<void> {
    this.isHeld = true;
    if (this.phase.is !== 'turn' && this.phase.is !== 'between') return Promise.resolve();
    return new Promise((resolve) => this.resting.push(resolve));
  }

  /** Decides how the session ends once nothing runs or waits; a turn that runs has a short time left. */
  conclude(end: ThreadEnd): void {
    this.verdict ??= end;
    const { turn } = this;
    clearTimeout(this.grace);
    if (turn) this.grace = setTimeout(() => void turn.interrupt('interrupt'), GRACE_MS);
    this.reconsider();
  }

  /** What `holds` said may have changed. */
  reconsider(): void {
    if (this.phase.is === 'idle') this.rest();
  }

  /** Ends the session with whatever runs: codex is gone, or hangs. */
  breakOff(reason: string, end: ThreadEnd): void {
    this.closing = true;
    this.turn?.breakOff(reason);
    this.end(end);
  }

  /** Stops here without an end: another session goes on with what runs and waits. */
  leave(): void {
    this.leaveIdle();
    this.turn?.leave();
    this.options.agents.leave();
    this.phase = { is: 'left' };
  }

  /** Resolves with the end of the session, at once when it has ended; never once it was left. */
  whenEnded(): Promise<ThreadEnd> {
    if (this.phase.is === 'ended') return Promise.resolve(this.phase.end);
    return new Promise((resolve) => this.endings.push(resolve));
  }

  /** Codex began a turn: ours, or one that another client of the app-server asked for. */
  started(id: string): void {
    if (!this.isOver) (this.turn ?? this.enterTurn()).began(id);
  }

  /** A message is being taken: the session does not end before the function given says that it has its place, or none. */
  expect(): () => void {
    this.arriving++;
    if (this.phase.is === 'idle') this.phase.limit?.stop();
    return () => {
      this.arriving--;
      if (this.phase.is === 'idle' && this.arriving === 0) this.rest();
    };
  }

  /** Puts a message into the running turn; when that is over meanwhile, it becomes the next message. */
  async steer(message: TaskMessage): Promise<void> {
    this.steering++;
    try {
      const sent = this.lastSteer.then(() => steerTurn(this.turn, message, this.options));
      this.lastSteer = sent.catch(() => undefined);
      await sent;
    } catch {
      this.options.queue.pushNext(message);
    } finally {
      this.steering--;
    }
    if (this.phase.is === 'idle') this.rest();
  }

  private enterTurn(): RunningTurn {
    this.leaveIdle();
    this.isIdleTold = false;
    this.options.agents.alone(false);
    const turn = new RunningTurn({
      ...this.options,
      onInterrupt: (reason) => void this.options.agents.interrupt(reason),
      onOver: (outcome) => {
        this.last = outcome;
        clearTimeout(this.grace);
        this.options.agents.alone(true);
        this.options.onTurnOver(outcome);
        void this.goOn({ afterTurn: true });
      },
      onStuck: (reason) => this.turnIsStuck(turn, reason),
    });
    this.phase = { is: 'turn', turn };
    if (this.options.isAsking()) turn.pause(true);
    this.options.choice.turnBegins();
    return turn;
  }

  private turnIsStuck(turn: RunningTurn, reason: InterruptReason): void {
    if (this.turn !== turn || reason === 'interrupt') return;
    const { mode, turnMs } = this.options;
    this.breakOff(reason, this.closing ? { kind: 'closed' } : endWhenStuck(mode, turnMs));
  }

  /** After a turn hit its usage limit, wait until the reset time is known. */
  private async goOn({ afterTurn = false } = {}): Promise<void> {
    const { phase, last, options } = this;
    if (last && !last.heldOut && options.limits.ended(last)) {
      const heldOut = await options.limits.heldOut();
      if (this.phase !== phase) return;
      if (heldOut) this.last = { ...last, heldOut };
    }
    if (afterTurn && options.betweenTurns) {
      this.phase = { is: 'between' };
      await options.betweenTurns();
      if (this.phase.is !== 'between') return;
    }
    this.rest();
  }

  /** Nothing runs: go on with the queue, or end, or wait for a message. */
  private rest(): void {
    const { mode, turnMs, idleMs, queue, onIdle } = this.options;
    this.leaveIdle();
    const isLimited = this.last?.heldOut !== undefined;
    const goesOn = !this.closing && !isLimited && queue.size + this.steering + this.arriving > 0;
    for (const resolve of this.resting.splice(0)) resolve();
    const waits = !this.closing && (this.options.agents.areWorking || this.options.holds?.() === true);
    const verdict = this.closing ? null : this.verdict;
    const end = goesOn || waits ? null : (verdict ?? endWhenIdle(mode, this.closing, this.last, turnMs));
    if (end) return this.end(end);
    const limit = goesOn || waits ? null : new Countdown(idleMs, () => this.end({ kind: 'closed' }));
    this.phase = { is: 'idle', limit };
    if (goesOn) this.next();
    else if (this.last && !this.isIdleTold) {
      this.isIdleTold = true;
      onIdle();
    }
  }

  private end(end: ThreadEnd): void {
    if (this.isOver) return;
    for (const resolve of this.resting.splice(0)) resolve();
    clearTimeout(this.grace);
    this.leaveIdle();
    if (this.options.agents.areWorking) void this.options.agents.interrupt('close');
    this.phase = { is: 'ended', end };
    for (const resolve of this.endings.splice(0)) resolve(end);
  }

  private leaveIdle(): void {
    if (this.phase.is === 'idle') this.phase.limit?.stop();
  }
}
