import { openDoneOnce } from './done-once.js';
import type { Ledger, LedgerRecord } from '../../task-folder/ledger.js';
import type { RunningTurn } from './running-turn.js';

/** What an interrupt is meant for. */
export interface Aim {
  /** Null: none runs. */
  readonly turn: RunningTurn | null;
  /** The message that the turn began with, or is about to begin with. */
  readonly messageId: string | null;
}

interface AimedLine {
  aim(): Aim;
  interrupt(aim: Aim): Promise<void>;
}

/**
 * Interrupts once by an id, over workers too, and only the turn that ran, or was about to begin, when it was first
 * asked for. Resolves when codex was asked.
 */
export function openInterrupts(
  ledger: Pick<Ledger, 'past' | 'write'>,
  line: AimedLine,
): (id: string) => Promise<void> {
  const once = openDoneOnce(ledger.past.flatMap((each) => (each.t === 'interrupt' ? [each.id] : [])));
  return (id) =>
    once(id, async () => {
      const aim = line.aim();
      const { turn, messageId } = aim;
      // Acts even without room for the record: nobody wants the turn to continue.
      await ledger.write({ t: 'interrupt', id, turnId: turn?.id ?? null, messageId }).catch(() => undefined);
      await line.interrupt(aim);
    });
}

/** Turns that are interrupted wherever they are met: what an earlier process was to interrupt, and messages to come. */
export interface CutTurns {
  add(messageId: string): void;
  has(turn: Pick<RunningTurn, 'id' | 'messageIds'>): boolean;
}

/** As a task's records tell. A turn that was taken back has its messages sent again: of these the word still holds. */
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
