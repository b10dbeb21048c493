import { open, readFile, type FileHandle } from 'node:fs/promises';
import type { ControlChange, Errand, PermissionDecision, TaskMessage } from '../../contract.js';
import { requireKnown, versioned } from '../../formats.js';
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
  /** The records were opened under this start of the machine. */
  | { t: 'boot'; id: string }
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
  | { t: 'control'; change: ControlChange; changeId?: string }
  /** To be interrupted: this turn, or where none ran the one that this message is about to begin; null: neither. */
  | { t: 'interrupt'; id: string; turnId: string | null; messageId: string | null }
  /** This turn ran longer than the task's limit: it is interrupted, and not run again. */
  | { t: 'overdue'; turnId: string }
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
  /** Lines among them that could not be read and are left out. */
  readonly damaged: number;
  /** Resolves when the record is in the file. Records stay in the order of the calls. */
  write(record: LedgerRecord): Promise<void>;
  /** Asks the disk to keep what was written through a power loss. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a ledger, without a last line that a crash cut. A damaged line takes only itself away.
 * @throws NewerFormat, the file untouched
 */
export async function openLedger(path: string): Promise<Ledger> {
  const handle = await open(path, 'a+', 0o600);
  try {
    const { whole, isCut } = wholeLines(await handle.readFile());
    const records = recordsOf(whole, path);
    if (isCut) await handle.truncate(whole.length);
    return { ...records, ...appender(handle, whole.length, whole.includes(HEAD)) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The ledger with all that was written until now as its past; writes go on as before. */
export async function rereadLedger(ledger: Ledger, path: string): Promise<Ledger> {
  await ledger.sync();
  const { whole } = wholeLines(await readFile(path));
  return { ...ledger, ...recordsOf(whole, path) };
}

/** The records in a ledger's file; none when there is no such file. @throws NewerFormat */
export async function readRecords(path: string): Promise<LedgerRecord[]> {
  return recordsOf(wholeLines(await readFile(path).catch(() => Buffer.alloc(0))).whole, path).past;
}

/** A ledger as text; empty when there is none. @throws NewerFormat; what the system says of one that cannot be read */
export async function readLedger(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return '';
    throw error;
  });
  requireKnownLines(text, path);
  return text;
}

/** Says of which version the records are: with the first one that a worker writes. Several versions may be in one ledger. */
const HEAD = `${JSON.stringify(versioned('ledger', { t: 'format' }))}\n`;

/** @throws NewerFormat when some of these lines of a ledger are of a newer worker */
export function requireKnownLines(text: string, path: string): void {
  for (const [, version] of text.matchAll(/^\{"t":"format","version":(\d+)/gm))
    requireKnown('ledger', Number(version), path);
}

function wholeLines(bytes: Buffer): { whole: Buffer; isCut: boolean } {
  const whole = bytes.subarray(0, bytes.lastIndexOf(NEWLINE) + 1);
  return { whole, isCut: whole.length < bytes.length };
}

/** One line after another: all of them may be longer than a string can be. */
function recordsOf(lines: Buffer, path: string): { past: LedgerRecord[]; damaged: number } {
  const past: LedgerRecord[] = [];
  let damaged = 0;
  for (let from = 0; from < lines.length;) {
    const end = lines.indexOf(NEWLINE, from);
    const record = recordIn(lines.toString('utf8', from, end));
    from = end + 1;
    if (record === null) damaged++;
    else if (record.t === 'format') requireKnown('ledger', record.version, path);
    else past.push(record);
  }
  return { past, damaged };
}

const NEWLINE = 0x0a;

function recordIn(line: string): LedgerRecord | { t: 'format'; version: unknown } | null {
  try {
    const record = JSON.parse(line) as LedgerRecord | null;
    return typeof record?.t === 'string' ? record : null;
  } catch {
    return null;
  }
}

function appender(handle: FileHandle, size: number, hasHead: boolean): Omit<Ledger, 'past' | 'damaged'> {
  let isHeaded = hasHead;
  let last: Promise<unknown> = Promise.resolve();
  let whole = size;
  let isTorn = false;
  return {
    write(record) {
      const own = `${JSON.stringify(record)}\n`;
      const written = last.then(async () => {
        const line = Buffer.from(isHeaded ? own : HEAD + own);
        // A full disk may have taken a part of a line; the next one must not join it.
        if (isTorn) await handle.truncate(whole);
        isTorn = true;
        await handle.appendFile(line);
        isTorn = false;
        isHeaded = true;
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

/** The turns that ran longer than the task's limit. */
export const overdueTurns = (past: readonly LedgerRecord[]): ReadonlySet<string> =>
  new Set(past.flatMap((each) => (each.t === 'overdue' ? [each.turnId] : [])));
