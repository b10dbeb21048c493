import type { ThreadItem, ThreadStatus } from '../../codex/protocol.js';
import { NO_USAGE, type TokenUsage } from '../../contract/index.js';
import type { Journal } from '../../journal/journal.js';
import type { CodexCalls } from './codex-calls.js';
import { Countdown } from './countdown.js';
import type { InterruptReason } from './running-turn.js';
import { appendEvent } from '../../journal/append-event.js';

const INTERRUPT_MS = 5_000;
/** How long a thread may take to begin its work; until then Codex reports it as idle. */
const START_MS = 10_000;
/** How long an interrupted thread may take to end; after that nobody waits for it. */
const STUCK_MS = 10_000;

/** Tools by which one thread gives work to another (Codex without `multi_agent_v2`). */
const GIVES_WORK = new Set(['spawnAgent', 'sendInput', 'resumeAgent', 'sendMessage', 'followupTask']);

export interface SubAgentOptions {
  readonly codex: Pick<CodexCalls, 'call'>;
  readonly journal: Pick<Journal, 'append'>;
  /** Milliseconds that threads may continue after the task's own turn, without the time of open requests. */
  readonly turnMs: number;
  /** Tokens of threads by their ids, as an earlier process counted them. */
  readonly recalled?: Readonly<Record<string, TokenUsage>> | undefined;
  /** Called when the last working thread has ended, or nobody waits for it any more. */
  readonly onRest: () => void;
  /** Called when they worked longer than allowed. */
  readonly onTimedOut: () => void;
  /** Called with threads that are ended while they work. */
  readonly onCut: (threadIds: readonly string[]) => void;
}

/** The threads next to the task's own: sub-agents, which work on while that one rests. */
export class SubAgents {
  /** The turn of each working thread; null: Codex has not named it. */
  private readonly working = new Map<string, string | null>();
  /** Threads that were given work and have not begun it. */
  private readonly due = new Map<string, NodeJS.Timeout>();
  private readonly totals: Map<string, TokenUsage>;
  private clock: Countdown | null = null;
  private isWaiting = false;
  private reason: InterruptReason | null = null;
  /** Threads whose interrupt failed: Codex may not have got it. */
  private readonly unheard = new Set<string>();
  private stuck: NodeJS.Timeout | undefined;

  constructor(private readonly options: SubAgentOptions) {
    this.totals = new Map(Object.entries(options.recalled ?? {}));
  }

  get areWorking(): boolean {
    return this.working.size > 0;
  }

  /** Why they are being interrupted; null: they are not. */
  get interruptReason(): InterruptReason | null {
    return this.reason;
  }

  get usage(): TokenUsage {
    return [...this.totals.values()].reduce(sum, NO_USAGE);
  }

  usageSeen(threadId: string, total: object): void {
    this.totals.set(threadId, { ...NO_USAGE, ...total });
  }

  /** An item ended, which may give work to threads or report their end. */
  itemSeen(item: ThreadItem): void {
    if (item.type === 'subAgentActivity' && typeof item.agentThreadId === 'string') {
      if (item.kind === 'started' || item.kind === 'interacted') this.expect(item.agentThreadId);
      else this.ended(item.agentThreadId);
    } else if (item.type === 'collabAgentToolCall' && Array.isArray(item.receiverThreadIds)) {
      if (!GIVES_WORK.has(item.tool) || item.status !== 'completed') return;
      for (const threadId of item.receiverThreadIds) this.expect(threadId);
    }
  }

  began(threadId: string, turnId: string | null): void {
    this.forgetDue(threadId);
    this.working.set(threadId, turnId ?? this.working.get(threadId) ?? null);
    // It began after the others were interrupted, and so is interrupted too.
    if (this.reason !== null) void this.end(threadId);
  }

  ended(threadId: string): void {
    this.forgetDue(threadId);
    if (this.working.delete(threadId) && !this.areWorking) this.rest();
  }

  statusSeen(threadId: string, status: ThreadStatus): void {
    if (status.type === 'active') this.began(threadId, null);
    else if (!this.due.has(threadId)) this.ended(threadId);
  }

  /** The task's own turn has ended or begun: the time of threads runs only between turns. */
  alone(isAlone: boolean): void {
    this.clock?.stop();
    this.clock = null;
    if (!isAlone || !this.areWorking) return;
    this.clock = new Countdown(this.options.turnMs, () => this.expire());
    if (this.isWaiting) this.clock.pause();
  }

  /** Pauses the time limit while a request waits for its decision. */
  pause(isWaiting: boolean): void {
    this.isWaiting = isWaiting;
    if (isWaiting) this.clock?.pause();
    else this.clock?.resume();
  }

  /** Interrupts each working thread and its commands. Resolves when Codex was asked. */
  async interrupt(reason: InterruptReason): Promise<void> {
    if (!this.areWorking) return;
    const threadIds = [...this.working.keys()];
    if (this.reason === reason) {
      const unheard = threadIds.filter((threadId) => this.unheard.has(threadId));
      await Promise.all(unheard.map((threadId) => this.end(threadId)));
      return;
    }
    this.reason = reason;
    if (reason !== 'interrupt') this.options.onCut(threadIds);
    clearTimeout(this.stuck);
    this.stuck = setTimeout(() => {
      this.working.clear();
      this.rest();
    }, STUCK_MS).unref();
    await Promise.all(threadIds.map((threadId) => this.end(threadId)));
  }

  /** Stops following them. */
  leave(): void {
    this.clock?.stop();
    clearTimeout(this.stuck);
    for (const threadId of [...this.due.keys()]) this.forgetDue(threadId);
    this.working.clear();
    this.reason = null;
  }

  private expect(threadId: string): void {
    if (this.working.has(threadId)) return;
    this.working.set(threadId, null);
    this.due.set(threadId, setTimeout(() => this.ended(threadId), START_MS).unref());
  }

  private forgetDue(threadId: string): void {
    clearTimeout(this.due.get(threadId));
    this.due.delete(threadId);
  }

  private expire(): void {
    const { journal, turnMs, onTimedOut } = this.options;
    for (const [threadId, turnId] of this.working)
      appendEvent(journal, { type: 'x-optio-turn-timed-out', turnId, threadId, afterMs: turnMs });
    onTimedOut();
    void this.interrupt('turn-timed-out');
  }

  private async end(threadId: string): Promise<void> {
    const { codex } = this.options;
    const options = { timeoutMs: INTERRUPT_MS };
    const turnId = this.working.get(threadId);
    this.unheard.delete(threadId);
    if (typeof turnId === 'string')
      await codex
        .call('turn/interrupt', { threadId, turnId }, options)
        .catch(() => this.unheard.add(threadId));
    await codex.call('thread/backgroundTerminals/clean', { threadId }, options).catch(() => undefined);
  }

  private rest(): void {
    this.clock?.stop();
    this.clock = null;
    clearTimeout(this.stuck);
    this.reason = null;
    this.options.onRest();
  }
}

export const sum = (one: TokenUsage, other: TokenUsage): TokenUsage =>
  Object.fromEntries(
    Object.entries(one).map(([name, tokens]) => [name, tokens + other[name as keyof TokenUsage]]),
  ) as unknown as TokenUsage;
