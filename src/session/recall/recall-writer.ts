import type { ThreadItem } from '../../codex/protocol.js';
import { reasonOf } from '../../errors.js';
import type { Log } from '../../log.js';
import type { Journal } from '../../journal/journal.js';
import { encodeCheckpoint, writeCheckpoint } from './recall-checkpoint.js';
import { noteEvent, type RecallableEvent } from './recall-events.js';
import type { TurnOutcome } from './turn-outcome.js';
import type { RecalledEvents } from './recalled-events.js';

/** Follows a thread's events and writes checkpoints of them now and then, so that a next worker reads few. */
export interface RecallWriter {
  /** Adds an event of Codex; deltas may be left out. */
  note(event: RecallableEvent): void;
  /** A request of codex, or its end, was announced. */
  noteRequest(requestId: string, stage: 'open' | 'ended'): void;
  /** It was told that the answer of a turn does not fit. */
  outputRefused(turnId: string): void;
  /** A turn's end is in the journal, or will be before anything that comes later. */
  turnEnded(outcome: TurnOutcome): void;
  /** Many events came without the end of a turn; `openItems` with their text so far. */
  among(openItems: readonly ThreadItem[]): void;
}

export interface CheckpointOptions {
  readonly file: string;
  readonly threadId: string;
  readonly journal: Pick<Journal, 'takenId' | 'flushed'>;
  /** State from the earlier events. */
  readonly recalled: RecalledEvents;
  readonly log: Log;
}

/** Writes one checkpoint at a time, and of waiting ones only the newest. */
export function openRecallWriter({
  file,
  threadId,
  journal,
  recalled,
  log,
}: CheckpointOptions): RecallWriter {
  const seen: RecalledEvents = {
    ...recalled,
    openItems: new Map(),
    endedTurns: new Set(recalled.endedTurns),
    endedItems: new Set(recalled.endedItems),
    requests: new Map(recalled.requests),
    messages: new Map(recalled.messages),
  };
  let next: string | null = null;
  let isWriting = false;
  const write = async () => {
    isWriting = true;
    try {
      for (; next !== null;) {
        const text = next;
        next = null;
        await journal.flushed();
        await writeCheckpoint(file, text);
      }
    } catch (error) {
      // Without it the next worker reads more.
      log.warn({ reason: reasonOf(error) }, 'recall.write.failed');
    } finally {
      isWriting = false;
    }
  };
  const save = (openItems: readonly ThreadItem[]) => {
    next = encodeCheckpoint(threadId, journal.takenId, seen, openItems);
    if (!isWriting) void write();
  };
  return {
    note: (event) => noteEvent(seen, event, threadId),
    noteRequest: (requestId, stage) => void seen.requests.set(requestId, stage),
    outputRefused: (turnId) => void (seen.refusedTurn = turnId),
    turnEnded(outcome) {
      const { id, status, error } = outcome;
      if (id === null) return;
      noteEvent(
        seen,
        {
          method: 'turn/completed',
          params: { threadId, turn: { id, status, error: { message: error ?? '' } } },
        },
        threadId,
      );
      // Only its kind is kept: it shows the next worker that a limit ended the turn.
      seen.lastTurn = outcome;
      // Items belong to one turn.
      seen.endedItems.clear();
      save([]);
    },
    among: save,
  };
}
