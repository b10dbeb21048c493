import { open, readFile, type FileHandle } from 'node:fs/promises';
import type { ControlChange, Errand, PermissionDecision, TaskMessage } from '../../contract.js';
import type { TailPosition } from './log-tail.js';

/** How often codex ended since the last completed turn. */
export interface Losses {
  /** By itself. */
  readonly alone: number;
  readonly withWorker: number;
}

/**
 * What the host must still know after its own death, beside the events: one JSON line each, written before
 * the thing it records is acknowledged or sent to codex.
 */
export type LedgerRecord =
  | { t: 'process'; incarnation: number }
  | { t: 'thread'; threadId: string; model: string | null }
  | { t: 'message'; message: TaskMessage }
  | { t: 'turn'; messageId: string }
  /** Codex has the message in its thread, or refused it: it is not sent (again). */
  | { t: 'accepted'; messageId: string }
  /** This turn was taken back: its messages are to be sent again, as if they never had been. */
  | { t: 'again'; turnId: string; messageIds: readonly string[] }
  /** A stopping worker interrupts this turn, or a usage limit ended it; it is to be run again. */
  | { t: 'suspended'; turnId: string }
  /** A worker stopped codex, which goes on with the next one. */
  | { t: 'stopped' }
  /** Model or effort were chosen, for the next turn and all later ones. */
  | { t: 'control'; change: ControlChange }
  /** The task was closed: no turn begins any more, and the one that runs is interrupted. */
  | { t: 'close' }
  /** Codex ended by itself, after so many completed turns; with how often it did since the last of them. */
  | { t: 'lost'; turns: number; losses: Losses }
  /** Its end has begun: codex is not started again. */
  | { t: 'ending' }
  | { t: 'answered'; decision: PermissionDecision }
  /**
   * How far the agent's log was acted on; `token` begins the ids of what came of its lines, with `after` of those
   * behind that one only.
   */
  | { t: 'protocol'; token: string; line: number; position: TailPosition; after?: number }
  /** The agent ended the task. */
  | { t: 'verdict'; is: 'done' | 'error'; text: string | null }
  | { t: 'errand'; errand: Errand }
  /** The workflow has this one from another host. */
  | { t: 'owed'; id: string }
  | { t: 'settled'; id: string };

export interface Ledger {
  /** Records found at opening, oldest first. */
  readonly past: readonly LedgerRecord[];
  /** Resolves when the record is in the file. Records stay in the order of the calls. */
  write(record: LedgerRecord): Promise<void>;
  /** Asks the disk to keep what was written through a power loss. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a ledger, without a last line that a crash cut. */
export async function openLedger(path: string): Promise<Ledger> {
  const handle = await open(path, 'a+', 0o600);
  const { whole, isCut } = wholeLines(await handle.readFile('utf8'));
  const size = Buffer.byteLength(whole);
  if (isCut) await handle.truncate(size);
  return { past: recordsOf(whole), ...appender(handle, size) };
}

/** The ledger with all that was written until now as its past; writes go on as before. */
export async function rereadLedger(ledger: Ledger, path: string): Promise<Ledger> {
  await ledger.sync();
  const { whole } = wholeLines(await readFile(path, 'utf8'));
  return { ...ledger, past: recordsOf(whole) };
}

/** The records in a ledger's file; none when there is no such file. */
export async function readRecords(path: string): Promise<LedgerRecord[]> {
  return recordsOf(wholeLines(await readFile(path, 'utf8').catch(() => '')).whole);
}

function wholeLines(text: string): { whole: string; isCut: boolean } {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return { whole, isCut: whole.length < text.length };
}

const recordsOf = (lines: string): LedgerRecord[] =>
  lines
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LedgerRecord);

function appender(handle: FileHandle, size: number): Omit<Ledger, 'past'> {
  let last: Promise<unknown> = Promise.resolve();
  let whole = size;
  let isTorn = false;
  return {
    write(record) {
      const line = Buffer.from(`${JSON.stringify(record)}\n`);
      const written = last.then(async () => {
        // A full disk may have taken a part of a line; the next one must not join it.
        if (isTorn) await handle.truncate(whole);
        isTorn = true;
        await handle.appendFile(line);
        isTorn = false;
        whole += line.length;
      });
      // A failed write is reported to its own caller only; the next one may succeed.
      last = written.catch(() => undefined);
      return written;
    },
    async sync() {
      await last;
      await handle.datasync();
    },
    async close() {
      await last;
      await handle.close();
    },
  };
}
