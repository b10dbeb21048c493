import { errorKind } from '../../codex/narrow.js';
import type { Turn, TurnStartParams, UserInput } from '../../codex/protocol.js';
import { reasonOf } from '../../errors.js';
import type { CodexCalls } from './codex-calls.js';
import { Countdown } from './countdown.js';
import type { Journal } from '../../journal/journal.js';
import type { Override } from './model-choice.js';
import { cutTurn, type TurnItems } from './turn-items.js';
import type { TurnOutcome } from '../recall/turn-outcome.js';
import { appendEvent } from '../../journal/append-event.js';

const START_MS = 30_000;
const INTERRUPT_MS = 5_000;
/** How long a turn's end is held back for items that Codex still has to end. */
const HOLD_MS = 2_000;
/** How long an interrupted turn may take to end; after that Codex hangs. A close has less time. */
const STUCK_MS = 10_000;
const CLOSE_STUCK_MS = 4_000;
/** How long a turn may continue in which the agent ended the task: for its last message. */
const GRACE_MS = 30_000;

/** Why a turn is interrupted; a stronger reason replaces another and interrupts again. */
export type InterruptReason = keyof typeof WEIGHT;
const WEIGHT = { interrupt: 0, 'turn-timed-out': 1, close: 2 };

export interface TurnOptions {
  readonly codex: Pick<CodexCalls, 'call'>;
  readonly journal: Pick<Journal, 'append' | 'flushed'>;
  readonly threadId: string;
  readonly items: TurnItems;
  /** Milliseconds, without paused time. */
  readonly turnMs: number;
  /** Called right before the turn's end is sent, to close what belongs to it. */
  readonly onEnding: (status: string, reason: string) => void;
  /** Called once, when the turn is over. */
  readonly onOver: (outcome: TurnOutcome) => void;
  /** Called when the turn is interrupted for a stronger reason than before. */
  readonly onInterrupt?: (reason: InterruptReason) => void;
  /** Called when it reaches its time limit, before it is interrupted for that. */
  readonly onOverdue: (turnId: string) => void;
  /** Called when codex does not end the turn although it was interrupted. */
  readonly onStuck: (reason: InterruptReason) => void;
}

type Stage =
  /** Requested; Codex may have answered with its id, but has not begun it. */
  | { kind: 'sent'; id: string | null }
  | { kind: 'running'; id: string }
  /** Codex ended it; the end is held back while items are open. */
  | { kind: 'ending'; turn: Turn; raw: string; hold: NodeJS.Timeout }
  | { kind: 'over' };

interface Interruption {
  readonly reason: InterruptReason;
  /** Runs out when Codex hangs. */
  readonly stuck: NodeJS.Timeout;
  /** Resolves when Codex was asked to interrupt and to clean up; null before the turn has begun. */
  sent: Promise<void> | null;
  isDone: boolean;
  /** Whether Codex got the request: a failed call may not have reached it. */
  isTaken: boolean;
}

/** One turn, from its request until its end was sent. */
export class RunningTurn {
  private stage: Stage = { kind: 'sent', id: null };
  private readonly clock: Countdown;
  private timedOut = false;
  /** Set once it has to be interrupted. */
  private interruption: Interruption | null = null;
  private grace: NodeJS.Timeout | undefined;
  private resolveBegun!: (id: string | null) => void;
  /** Known ids of the messages in it; the first one began it. */
  readonly messageIds = new Set<string>();
  /** Resolves with Codex's id of the turn when it has begun; null when it never did. */
  readonly begun = new Promise<string | null>((resolve) => (this.resolveBegun = resolve));

  constructor(private readonly options: TurnOptions) {
    this.clock = new Countdown(options.turnMs, () => this.expire());
  }

  get id(): string | null {
    if (this.stage.kind === 'over') return null;
    return this.stage.kind === 'ending' ? this.stage.turn.id : this.stage.id;
  }

  /** Id of the message that it began with, as far as is known. */
  get firstMessage(): string | undefined {
    return [...this.messageIds][0];
  }

  get interruptReason(): InterruptReason | null {
    return this.interruption?.reason ?? null;
  }

  /** Asks codex for the turn. */
  async start(
    input: UserInput[],
    clientUserMessageId: string,
    override: Override & Pick<TurnStartParams, 'outputSchema'>,
  ): Promise<void> {
    const { codex, threadId } = this.options;
    const params = { threadId, input, clientUserMessageId, ...override };
    const answer = await codex.call('turn/start', params, { timeoutMs: START_MS });
    if (this.stage.kind === 'sent') this.stage = { kind: 'sent', id: answer.turn.id };
  }

  /** Codex began the turn. Before that it refuses to interrupt or steer it, despite its answer. */
  began(id: string): void {
    if (this.stage.kind !== 'sent') return;
    this.stage = { kind: 'running', id };
    this.resolveBegun(id);
    if (this.interruption) this.sendInterrupt();
  }

  /** Interrupts the turn and the commands it left running, once Codex has begun it. Resolves when Codex was asked. */
  interrupt(reason: InterruptReason): Promise<void> {
    if (this.stage.kind === 'over') return Promise.resolve();
    const earlier = this.interruption;
    if (!earlier || WEIGHT[reason] > WEIGHT[earlier.reason]) {
      clearTimeout(earlier?.stuck);
      const stuckMs = reason === 'close' ? CLOSE_STUCK_MS : STUCK_MS;
      const stuck = setTimeout(() => this.options.onStuck(reason), stuckMs);
      this.interruption = { reason, stuck, sent: null, isDone: false, isTaken: false };
      this.options.onInterrupt?.(reason);
      if (this.stage.kind === 'running') this.sendInterrupt();
    } else earlier.sent &&= earlier.sent.then(() => this.sendAgain(earlier));
    return this.interruption?.sent ?? Promise.resolve();
  }

  /** The agent ended the task: the turn has a short time left. */
  endSoon(): void {
    clearTimeout(this.grace);
    this.grace = setTimeout(() => void this.interrupt('interrupt'), GRACE_MS);
  }

  /** Codex ended the turn. Its end is sent when every item has ended, at the latest after a while. */
  completed(turn: Turn, raw: string): void {
    if (this.stage.kind === 'sent') this.began(turn.id);
    if (this.stage.kind !== 'running') return;
    this.clock.stop();
    const hold = setTimeout(() => this.finish(), HOLD_MS);
    this.stage = { kind: 'ending', turn, raw, hold };
    this.finishWhenQuiet();
  }

  /** An item ended, perhaps the last one that the turn's end waits for. */
  itemEnded(): void {
    if (this.stage.kind === 'ending') this.finishWhenQuiet();
  }

  /** Codex refused the turn. */
  rejected(error: unknown): void {
    if (this.stage.kind !== 'sent') return;
    this.over({ id: null, status: 'failed', error: reasonOf(error), timedOut: this.timedOut });
  }

  /** Ends it on this side only: its process is gone, or hangs. */
  breakOff(reason: string): void {
    if (this.stage.kind === 'over') return;
    const { items, journal, threadId } = this.options;
    for (const event of items.close(threadId, this.id ?? '')) journal.append(event);
    this.options.onEnding('interrupted', reason);
    if (this.stage.kind === 'running') journal.append(cutTurn(threadId, this.stage.id));
    else if (this.stage.kind === 'ending') journal.append(this.stage.raw);
    this.settle();
  }

  /** Detaches from it without an end: another session continues it. */
  leave(): void {
    if (this.stage.kind !== 'over') this.settle();
  }

  /** Pauses the time limit while a request waits for its decision. */
  pause(isWaiting: boolean): void {
    if (isWaiting) this.clock.pause();
    else this.clock.resume();
  }

  /** An earlier process saw its time run out, and may not have interrupted it. */
  wasOverdue(): void {
    this.timedOut = true;
    this.clock.stop();
  }

  get isOverdue(): boolean {
    return this.timedOut;
  }

  private expire(): void {
    this.timedOut = true;
    const { journal, turnMs, onOverdue } = this.options;
    if (this.id !== null) onOverdue(this.id);
    appendEvent(journal, { type: 'x-optio-turn-timed-out', turnId: this.id, afterMs: turnMs });
    void this.interrupt('turn-timed-out');
  }

  private sendInterrupt(): void {
    this.interruption!.sent = this.send(this.interruption!);
  }

  /** Repeats an interrupt for the same reason only if Codex may not have got it. */
  private async sendAgain(interruption: Interruption): Promise<void> {
    if (this.stage.kind !== 'running' || interruption !== this.interruption || interruption.isTaken) return;
    await this.send(interruption);
  }

  private async send(interruption: Interruption): Promise<void> {
    const { codex, threadId } = this.options;
    interruption.isDone = false;
    const options = { timeoutMs: INTERRUPT_MS };
    const isDone = (asked: Promise<unknown>) =>
      asked.then(
        () => true,
        () => false,
      );
    // An interrupt ends the turn, not the commands it started.
    const turnId = this.id;
    if (turnId !== null && (await isDone(codex.call('turn/interrupt', { threadId, turnId }, options))))
      interruption.isTaken = true;
    await isDone(codex.call('thread/backgroundTerminals/clean', { threadId }, options));
    interruption.isDone = true;
    this.itemEnded();
  }

  /** The next turn must not begin before the clean-up is done, which would end its commands. */
  private finishWhenQuiet(): void {
    const isCleaning = this.interruption?.sent && !this.interruption.isDone;
    if (!this.options.items.expectsEnd && !isCleaning) this.finish();
  }

  private finish(): void {
    if (this.stage.kind !== 'ending') return;
    const { turn, raw } = this.stage;
    const { journal, items, threadId } = this.options;
    for (const event of items.close(threadId, turn.id)) journal.append(event);
    this.options.onEnding(turn.status, this.interruption?.reason ?? 'turn-ended');
    journal.append(raw);
    const { id, status, error } = turn;
    const message = error ? error.message || errorKind(error.codexErrorInfo) : null;
    const kind = error ? { errorKind: errorKind(error.codexErrorInfo) } : {};
    const { firstMessage: messageId } = this;
    const began = messageId === undefined ? {} : { messageId };
    this.over({ id, status, error: message, ...kind, timedOut: this.timedOut, ...began });
  }

  private over(outcome: TurnOutcome): void {
    this.settle();
    this.options.onOver(outcome);
  }

  private settle(): void {
    if (this.stage.kind === 'ending') clearTimeout(this.stage.hold);
    if (this.interruption) clearTimeout(this.interruption.stuck);
    clearTimeout(this.grace);
    this.clock.stop();
    this.stage = { kind: 'over' };
    this.resolveBegun(null);
  }
}
