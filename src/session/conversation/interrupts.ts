import { openDoneOnce, type DoOnce } from './done-once.js';
import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import type { RunningTurn } from './running-turn.js';
import type { SubAgents } from './sub-agents.js';
import type { EndDecision } from './end-decision.js';

/** Target of an interrupt. */
interface Aim {
  /** Null: no turn runs. */
  readonly turn: RunningTurn | null;
  /** The message that the turn began with, or is about to begin with. */
  readonly messageId: string | null;
}

/** The turns that can be interrupted, and their state. */
interface InterruptedTurns {
  readonly turn: RunningTurn | null;
  /** The message of the turn that begins once the work after the last turn is done; null: no turn waits for that. */
  readonly dueMessageId: string | null;
  next(): void;
}

export interface InterruptsOptions {
  readonly ledger: Pick<Ledger, 'past' | 'write'>;
  readonly turns: InterruptedTurns;
  readonly agents: Pick<SubAgents, 'areWorking' | 'interrupt'>;
  readonly ending: Pick<EndDecision, 'amendLast'>;
  readonly cut: CutTurns;
}

/**
 * Interrupts once by an id, across workers, and only the turn that ran, or was about to begin, at the first request.
 */
export class Interrupts {
  readonly #once: DoOnce;

  constructor(private readonly options: InterruptsOptions) {
    const { past } = options.ledger;
    this.#once = openDoneOnce(past.flatMap((each) => (each.t === 'interrupt' ? [each.id] : [])));
  }

  /** Interrupts the running turn and what works next to it. Idempotent by the id. Resolves when Codex was asked. */
  interrupt(id: string): Promise<void> {
    return this.#once(id, async () => {
      const aim = this.#aim();
      const { turn, messageId } = aim;
      // Acts even without room for the record: nobody wants the turn to continue.
      await this.options.ledger
        .write({ t: 'interrupt', id, turnId: turn?.id ?? null, messageId })
        .catch(() => undefined);
      await this.#interrupt(aim);
    });
  }

  /** Interrupts an adopted turn, if an earlier process was to. */
  again(): void {
    const { turns, cut } = this.options;
    const { turn } = turns;
    if (turn?.isOverdue) void turn.interrupt('turn-timed-out');
    else if (turn && cut.has(turn)) void turn.interrupt('interrupt');
  }

  /** The target of an interrupt requested now. */
  #aim(): Aim {
    // The sender means the message that was just accepted, though its turn has not begun.
    this.options.turns.next();
    const { turn, dueMessageId } = this.options.turns;
    return { turn, messageId: turn ? ([...turn.messageIds][0] ?? null) : dueMessageId };
  }

  /** Interrupts the target, unless a later turn runs by now. */
  async #interrupt(aim: Aim): Promise<void> {
    const { turns, agents, ending, cut } = this.options;
    const { turn } = turns;
    if (aim.turn === null && aim.messageId !== null) cut.add(aim.messageId);
    if (turn && turn !== aim.turn && !cut.has(turn)) return;
    if (!turn && agents.areWorking) ending.amendLast({ status: 'interrupted' });
    await Promise.all([turn?.interrupt('interrupt'), agents.interrupt('interrupt')]);
  }
}

/** Turns and messages whose interrupt an earlier process did not finish. */
export interface CutTurns {
  add(messageId: string): void;
  has(turn: Pick<RunningTurn, 'id' | 'messageIds'>): boolean;
}

/** Reads them from the task's records. Messages of a reverted turn are sent again and keep their interrupt. */
export function recallCutTurns(past: readonly LedgerRecord[]): CutTurns {
  const turnIds = new Set<string | null>();
  const cut = new Set<string>();
  for (const record of past)
    if (record.t === 'interrupt') {
      if (record.turnId !== null) turnIds.add(record.turnId);
      if (record.messageId !== null) cut.add(record.messageId);
    } else if (record.t === 'again' && turnIds.has(record.turnId))
      for (const messageId of record.messageIds) cut.add(messageId);
  return {
    add: (messageId) => void cut.add(messageId),
    has: ({ id, messageIds }) => turnIds.has(id) || [...messageIds].some((each) => cut.has(each)),
  };
}
