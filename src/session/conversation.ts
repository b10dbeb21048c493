import type {
  ControlChange,
  PermissionDecision,
  SessionReport,
  TaskMessage,
  TaskMode,
  TokenUsage,
} from '../contract.js';
import { NO_USAGE } from '../contract.js';
import { controlsFor, effortAfter, type Control, type Models } from '../codex/models.js';
import { reasonOf, TaskError, type ErrorCode } from '../errors.js';
import type { Journal } from './journal.js';
import type { Ledger } from './ledger.js';
import { PermissionGate, type GateOptions } from './permission-gate.js';
import { TurnItems } from './turn-items.js';
import type { WorkflowLink } from './workflow-link.js';

const CALL_MS = 30_000;
const INTERRUPT_MS = 10_000;
/** How long a turn's end is held back for items that codex still has to end. */
const HOLD_MS = 2_000;

/** The part of the connection to codex that a conversation needs. */
export interface CodexCalls {
  call(method: string, params: unknown, options: { timeoutMs: number }): Promise<unknown>;
  respond: GateOptions['answers']['respond'];
  respondError: GateOptions['answers']['respondError'];
}

export interface ConversationOptions {
  readonly codex: CodexCalls;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly link: WorkflowLink;
  readonly incarnation: number;
  readonly mode: TaskMode;
  readonly threadId: string;
  readonly models: Models;
  readonly model: string | null;
  readonly effort: string | null;
  /** Milliseconds. */
  readonly turnMs: number;
  readonly idleMs: number;
}

/** How a session ended, seen from the host. */
export type ConversationEnd =
  { kind: 'completed' | 'interrupted' | 'closed' } | { kind: 'failed'; code: ErrorCode; message: string };

interface Turn {
  readonly messageId: string;
  id: string | null;
  interrupt: 'no' | 'wanted' | 'sent';
  timedOut: boolean;
  readonly deadline: NodeJS.Timeout;
  /** The turn's end as it came from codex, kept back while items are open. */
  held: { turn: TurnEnd; raw: string; timer: NodeJS.Timeout } | null;
}

type Phase =
  | { is: 'waiting' }
  | { is: 'idle'; timer: NodeJS.Timeout | null }
  | { is: 'turn'; turn: Turn }
  | { is: 'ended'; end: ConversationEnd };

interface TurnEnd {
  readonly id: string;
  readonly status: string;
  readonly error: string | null;
}

/**
 * One thread of codex: messages in order, one turn at a time, every event into the journal. It ends by
 * itself in mode `task` when nothing runs and nothing is queued; in both modes on `close` or the idle limit.
 */
export class Conversation {
  readonly gate: PermissionGate;
  private phase: Phase = { is: 'waiting' };
  private queue: TaskMessage[] = [];
  private readonly seen = new Map<string, Promise<void>>();
  private readonly items = new TurnItems();
  private closing = false;
  private lastTurn: TurnEnd | null = null;
  private lastTurnTimedOut = false;
  private answer: string | null = null;
  private turns = 0;
  private usage: TokenUsage = NO_USAGE;
  private lastError: string | undefined;
  private model: string | null;
  private effort: string | null;
  private armed: { model?: string; effort?: string | null } = {};
  private endings: ((end: ConversationEnd) => void)[] = [];

  constructor(private readonly options: ConversationOptions) {
    const { codex, journal, ledger, link, incarnation } = options;
    this.model = options.model;
    this.effort = options.effort;
    this.gate = new PermissionGate({
      journal,
      ledger,
      link,
      incarnation,
      answers: codex,
      changesOf: (itemId) => this.items.changesOf(itemId),
      tell: (text) => void this.steer(text),
    });
    this.recall();
  }

  /** Starts with what is queued. Repeatable. */
  begin(): void {
    if (this.phase.is === 'waiting') this.rest();
  }

  /**
   * Takes a message once by its id; resolves when that is durable. `false`: it was here before.
   * @throws TaskError `SessionNotHere` after the end, unless `reopen`
   */
  async accept(message: TaskMessage, { reopen = false } = {}): Promise<boolean> {
    const earlier = this.seen.get(message.messageId);
    if (earlier) return earlier.then(() => false);
    if (this.closing || (this.phase.is === 'ended' && !reopen))
      throw new TaskError('SessionNotHere', `The session takes no more messages`);
    const written = this.options.ledger.write({ t: 'message', message });
    this.seen.set(message.messageId, written);
    try {
      await written;
    } catch (error) {
      this.seen.delete(message.messageId);
      throw error;
    }
    if (message.steer && this.phase.is === 'turn') void this.steer(message.text, message);
    else this.queue.push(message);
    // Whoever sent it hears that it was taken before its first event goes out.
    setImmediate(() => this.next());
    return true;
  }

  decide(decision: PermissionDecision): Promise<void> {
    return this.gate.answer(decision);
  }

  /** Interrupts the running turn and what it left running. */
  async interrupt(): Promise<void> {
    if (this.phase.is !== 'turn') return;
    const turn = this.phase.turn;
    if (turn.interrupt === 'sent') return;
    turn.interrupt = turn.id === null ? 'wanted' : 'sent';
    if (turn.id === null) return;
    const { codex, threadId } = this.options;
    await codex
      .call('turn/interrupt', { threadId, turnId: turn.id }, { timeoutMs: INTERRUPT_MS })
      .catch(() => null);
    // An interrupt ends the turn, not the commands it started (codex 0.169.0).
    await codex
      .call('thread/backgroundTerminals/clean', { threadId }, { timeoutMs: INTERRUPT_MS })
      .catch(() => null);
  }

  /** Ends the session: no more messages, the running turn is interrupted. */
  async close(): Promise<void> {
    this.closing = true;
    if (this.phase.is === 'turn') await this.interrupt();
    else this.rest();
  }

  /** Sets the model or the effort from the next turn on. Other ids are ignored. */
  setControl({ id, value }: ControlChange): void {
    if (typeof value !== 'string' || value === '') return;
    if (id === 'model') {
      this.effort = effortAfter(this.options.models, value, this.effort);
      this.model = value;
      this.armed = { model: value, effort: this.effort };
    } else if (id === 'reasoning_effort') {
      this.effort = value;
      this.armed = { ...this.armed, effort: value };
    } else return;
    this.emit({ type: 'x-optio-control-update', controls: this.controls() });
  }

  controls(): Control[] {
    return controlsFor(this.options.models, this.model, this.effort);
  }

  report(): SessionReport {
    const activity = this.phase.is === 'turn' || this.queue.length > 0 ? 'running' : 'idle';
    const { threadId } = this.options;
    const lastError = this.lastError === undefined ? {} : { lastError: this.lastError };
    return { activity, threadId, model: this.model, turns: this.turns, usage: this.usage, ...lastError };
  }

  /** The last agent message of the last turn. */
  get finalMessage(): string | null {
    return this.answer;
  }

  /** Messages that were taken and never sent to codex. */
  get dropped(): string[] {
    return this.queue.map(({ messageId }) => messageId);
  }

  /** Resolves with the end of the session, at once when it has ended. */
  whenEnded(): Promise<ConversationEnd> {
    if (this.phase.is === 'ended') return Promise.resolve(this.phase.end);
    return new Promise((resolve) => this.endings.push(resolve));
  }

  /** The app-server is gone or the host gives up: whatever runs is over. */
  fail(code: ErrorCode, message: string): void {
    if (this.phase.is === 'turn')
      this.items
        .close(this.options.threadId, this.phase.turn.id ?? '')
        .forEach((each) => this.options.journal.append(each));
    this.gate.settleAll('app-server-ended');
    this.end({ kind: 'failed', code, message });
  }

  /** A notification of codex, in wire order. */
  onNotification(method: string, params: unknown, raw: string): void {
    const fields = params as Fields | undefined;
    const { threadId } = this.options;
    if (fields?.threadId !== undefined && fields.threadId !== threadId) {
      // A sub-agent's thread: shown, but no part of this conversation's state.
      this.options.journal.append(raw);
      return;
    }
    const turn = this.phase.is === 'turn' ? this.phase.turn : null;
    if (
      method.startsWith('item/') &&
      fields?.turnId !== undefined &&
      fields.turnId === this.lastTurn?.id &&
      fields.turnId !== turn?.id
    ) {
      this.options.journal.append(`{"type":"x-optio-late","event":${raw}}`);
      return;
    }
    switch (method) {
      case 'item/agentMessage/delta':
        this.items.delta(fields!.itemId!, fields!.delta!);
        break;
      case 'item/started':
        this.items.started(fields?.item);
        this.noteUserMessage(fields?.item);
        break;
      case 'item/completed':
        this.items.completed(fields?.item);
        this.noteUserMessage(fields?.item);
        if (fields?.item?.type === 'agentMessage') this.answer = fields.item.text ?? '';
        break;
      case 'turn/started':
        this.answer = null;
        if (turn) this.turnIsKnown(turn, fields?.turn?.id);
        break;
      case 'thread/tokenUsage/updated':
        if (fields?.tokenUsage) this.usage = fields.tokenUsage.total;
        break;
      case 'error':
        this.lastError = fields?.error?.message;
        break;
      case 'serverRequest/resolved':
        this.options.journal.append(raw);
        this.gate.resolved(fields?.requestId, turn?.interrupt === 'no' ? 'codex' : 'interrupt');
        return;
      case 'turn/completed':
        if (turn && fields?.turn) return this.turnEnded(turn, fields.turn, raw);
        break;
    }
    this.options.journal.append(raw);
    if (method === 'item/completed' && turn?.held && !this.items.expectsEnd) this.finishTurn(turn);
  }

  onRequest(id: string | number, method: string, params: unknown): void {
    this.gate.ask(id, method, (params ?? {}) as Record<string, unknown>);
  }

  private next(): void {
    if (this.phase.is === 'ended' && this.queue.length > 0) this.rest();
    if (this.phase.is === 'idle' && this.queue.length > 0 && !this.closing)
      this.startTurn(this.queue.shift()!);
  }

  private startTurn(message: TaskMessage): void {
    if (this.phase.is === 'idle' && this.phase.timer) clearTimeout(this.phase.timer);
    const { messageId } = message;
    const turn: Turn = {
      messageId,
      id: null,
      interrupt: 'no',
      timedOut: false,
      held: null,
      deadline: setTimeout(() => this.turnIsLate(turn), this.options.turnMs),
    };
    this.phase = { is: 'turn', turn };
    void this.sendTurn(turn, message);
  }

  private async sendTurn(turn: Turn, message: TaskMessage): Promise<void> {
    const { codex, ledger, threadId } = this.options;
    try {
      await ledger.write({ t: 'turn', messageId: message.messageId });
      const params = {
        threadId,
        input: inputOf(message),
        clientUserMessageId: message.messageId,
        ...this.armed,
      };
      const answer = (await codex.call('turn/start', params, { timeoutMs: CALL_MS })) as Fields;
      this.turnIsKnown(turn, answer.turn?.id);
    } catch (error) {
      if (this.phase.is !== 'turn' || this.phase.turn !== turn || turn.id !== null) return;
      this.lastError = reasonOf(error);
      this.emit({ type: 'x-optio-turn-rejected', messageId: message.messageId, reason: this.lastError });
      this.lastTurn = { id: '', status: 'failed', error: this.lastError };
      clearTimeout(turn.deadline);
      this.rest();
    }
  }

  private turnIsKnown(turn: Turn, id: string | undefined): void {
    if (turn.id !== null || id === undefined) return;
    turn.id = id;
    if (turn.interrupt === 'wanted') void this.interrupt();
  }

  private turnIsLate(turn: Turn): void {
    turn.timedOut = true;
    this.emit({ type: 'x-optio-turn-timed-out', turnId: turn.id, afterMs: this.options.turnMs });
    void this.interrupt();
  }

  private turnEnded(turn: Turn, ended: NonNullable<Fields['turn']>, raw: string): void {
    clearTimeout(turn.deadline);
    const end = { id: ended.id, status: ended.status ?? 'failed', error: ended.error?.message ?? null };
    turn.held = { turn: end, raw, timer: setTimeout(() => this.finishTurn(turn), HOLD_MS) };
    if (!this.items.expectsEnd) this.finishTurn(turn);
  }

  private finishTurn(turn: Turn): void {
    if (!turn.held || this.phase.is !== 'turn' || this.phase.turn !== turn) return;
    const { turn: end, raw, timer } = turn.held;
    clearTimeout(timer);
    const { journal, threadId } = this.options;
    for (const event of this.items.close(threadId, end.id)) journal.append(event);
    this.gate.settleAll(turn.interrupt === 'no' ? 'turn-ended' : 'interrupt');
    journal.append(raw);
    void journal.sync().catch(() => undefined);
    this.lastTurn = end;
    this.lastTurnTimedOut = turn.timedOut;
    if (end.status === 'completed') this.turns++;
    if (end.error) this.lastError = end.error;
    this.rest();
  }

  /** Nothing runs: go on with the queue, or end, or wait for a message. */
  private rest(): void {
    const end = this.queue.length > 0 && !this.closing ? null : this.endWhenIdle();
    if (end) return this.end(end);
    this.phase = { is: 'idle', timer: this.queue.length > 0 ? null : this.idleTimer() };
    if (this.queue.length > 0) this.next();
    else if (this.lastTurn) this.options.link.sessionChanged(this.report());
  }

  private endWhenIdle(): ConversationEnd | null {
    if (this.closing) return { kind: 'closed' };
    if (this.options.mode === 'conversation' || !this.lastTurn) return null;
    if (this.lastTurnTimedOut)
      return {
        kind: 'failed',
        code: 'TurnTimedOut',
        message: `The turn ran longer than ${this.options.turnMs} ms and was interrupted`,
      };
    switch (this.lastTurn.status) {
      case 'completed':
        return { kind: 'completed' };
      case 'interrupted':
        return { kind: 'interrupted' };
      default:
        return {
          kind: 'failed',
          code: 'CodexFailed',
          message: `The turn failed: ${this.lastTurn.error ?? 'codex gave no reason'}`,
        };
    }
  }

  private idleTimer(): NodeJS.Timeout {
    return setTimeout(() => {
      if (this.phase.is === 'idle') this.end({ kind: 'closed' });
    }, this.options.idleMs);
  }

  private end(end: ConversationEnd): void {
    if (this.phase.is === 'ended') return;
    if (this.phase.is === 'idle' && this.phase.timer) clearTimeout(this.phase.timer);
    if (this.phase.is === 'turn') clearTimeout(this.phase.turn.deadline);
    this.phase = { is: 'ended', end };
    for (const resolve of this.endings.splice(0)) resolve(end);
  }

  private async steer(text: string, message?: TaskMessage): Promise<void> {
    const { codex, threadId } = this.options;
    const turnId = this.phase.is === 'turn' ? this.phase.turn.id : null;
    const client = message ? { clientUserMessageId: message.messageId } : {};
    try {
      if (turnId === null) throw new Error('no turn to steer');
      const params = { threadId, expectedTurnId: turnId, input: inputOf(message ?? { text }), ...client };
      await codex.call('turn/steer', params, { timeoutMs: CALL_MS });
    } catch {
      // The turn ended meanwhile: what was said becomes the next message.
      this.queue.push(message ?? { messageId: `steer-${Date.now().toString(36)}`, text });
      this.next();
    }
  }

  private noteUserMessage(item: Fields['item']): void {
    if (item?.type === 'userMessage' && typeof item.clientId === 'string')
      void this.options.ledger.write({ t: 'accepted', messageId: item.clientId });
  }

  /** Takes up what an earlier process of this host wrote down. */
  private recall(): void {
    const sent = new Set<string>();
    for (const record of this.options.ledger.past) if (record.t === 'turn') sent.add(record.messageId);
    for (const record of this.options.ledger.past) {
      if (record.t !== 'message') continue;
      this.seen.set(record.message.messageId, Promise.resolve());
      if (!sent.has(record.message.messageId)) this.queue.push(record.message);
    }
  }

  private emit(event: Record<string, unknown>): void {
    this.options.journal.append(JSON.stringify(event));
  }
}

/** The fields of codex's notifications that are read here; each is checked where it decides something. */
interface Fields {
  threadId?: string;
  turnId?: string;
  itemId?: string;
  delta?: string;
  requestId?: unknown;
  item?: { id: string; type: string; text?: string; clientId?: string | null };
  turn?: { id: string; status?: string; error?: { message?: string } | null };
  tokenUsage?: { total: TokenUsage };
  error?: { message?: string };
}

function inputOf(message: Pick<TaskMessage, 'text' | 'images'>): unknown[] {
  const images = (message.images ?? []).map(({ path }) => ({ type: 'localImage', path }));
  return [{ type: 'text', text: message.text }, ...images];
}
