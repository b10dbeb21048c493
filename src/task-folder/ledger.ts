import { open, readFile } from 'node:fs/promises';
import type {
  ControlChange,
  HookRequest,
  PermissionDecision,
  TaskMessage,
  TaskRule,
} from '../contract/index.js';
import { requireKnown, versioned } from '../formats.js';
import { beginOf, ledgerFile, removeHalf, type LedgerFile } from './ledger-file.js';
import type { TailPosition } from './log-tail.js';

/** How often codex ended since the last completed turn. */
export interface Losses {
  /** By itself. */
  readonly alone: number;
  readonly withWorker: number;
}

/**
 * What the host must still know after its own death, besides the events: one JSON line each, written before the thing
 * it records is acknowledged or sent to codex.
 */
export type LedgerRecord =
  | { t: 'process'; incarnation: number }
  /** The records were opened under this start of the machine. */
  | { t: 'boot'; id: string }
  | { t: 'thread'; threadId: string; model: string | null }
  | { t: 'message'; message: TaskMessage }
  /** A message that codex has for good: of it only the id is asked for. */
  | { t: 'known'; messageId: string }
  | { t: 'turn'; messageId: string }
  /** Codex has the message in its thread, or refused it: it is not sent (again). */
  | { t: 'accepted'; messageId: string }
  /** This turn was taken back: its messages are to be sent again, as if they never had been. */
  | { t: 'again'; turnId: string; messageIds: readonly string[] }
  /** A stopping worker interrupts this turn, or a usage limit ended it; it is to be run again. */
  | { t: 'suspended'; turnId: string }
  /** A worker stopped codex, which continues with the next one. */
  | { t: 'stopped' }
  /** Model or effort were chosen, for the next turn and all later ones. */
  | { t: 'control'; change: ControlChange; changeId?: string }
  /** Rules that the task was given while it runs: the newest record is in force. */
  | { t: 'rules'; revision: number; rules: TaskRule[] }
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
  | { t: 'hookRequest'; hookRequest: HookRequest }
  /** The workflow has this one from another host. */
  | { t: 'owed'; id: string }
  | { t: 'settled'; id: string }
  /** So many records of these kinds were compacted away. */
  | { t: 'earlier'; threads: number; suspended: number };

export interface Ledger extends Pick<LedgerFile, 'isLong' | 'close'> {
  /** Records found at opening, oldest first. */
  readonly past: readonly LedgerRecord[];
  /** Where they end, bytes in the whole ledger: what was compacted away counts. */
  readonly end: number;
  /** Lines among them that could not be read and are left out. */
  readonly damaged: number;
  /** Resolves when the record is in the file. Records stay in the order of the calls. */
  write(record: LedgerRecord): Promise<void>;
  /** Replaces all records up to `end` by these; see `LedgerFile`. */
  compact(end: number, records: readonly LedgerRecord[]): Promise<void>;
  /** Asks the disk to keep what was written through a power loss. */
  sync(): Promise<void>;
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
    await removeHalf(path);
    const [base, size] = [beginOf(whole), whole.length];
    const file = ledgerFile({ path, handle, base, size, hasHead: whole.includes(HEAD) }, HEAD);
    return {
      ...records,
      isLong: () => file.isLong(),
      sync: () => file.sync(),
      close: () => file.close(),
      write: (record) => file.write(lineOf(record)),
      compact: (end, kept) => file.replace(end, kept.map(lineOf)),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

const lineOf = (record: LedgerRecord): string => `${JSON.stringify(record)}\n`;

/** The ledger with all that was written until now as its past; writes continue as before. */
export async function rereadLedger(ledger: Ledger, path: string): Promise<Ledger> {
  await ledger.sync();
  const { whole } = wholeLines(await readFile(path));
  return { ...ledger, ...recordsOf(whole, path) };
}

/** The records of a ledger; none when there is no file. @throws NewerFormat; what the system says of one that cannot be read */
export async function readLedger(path: string): Promise<readonly LedgerRecord[]> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return Buffer.alloc(0);
    throw error;
  });
  return recordsOf(wholeLines(bytes).whole, path).past;
}

/** The thread that the task's codex had; null: it had none yet. */
export const threadIn = (past: readonly LedgerRecord[]): string | null =>
  past.findLast((record) => record.t === 'thread')?.threadId ?? null;

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
function recordsOf(lines: Buffer, path: string): Pick<Ledger, 'past' | 'end' | 'damaged'> {
  const past: LedgerRecord[] = [];
  let damaged = 0;
  for (let from = 0; from < lines.length;) {
    const end = lines.indexOf(NEWLINE, from);
    const record = recordIn(lines.toString('utf8', from, end));
    from = end + 1;
    if (record === null) damaged++;
    else if (record.t === 'format') requireKnown('ledger', record.version, path);
    else if (record.t !== 'compacted') past.push(record);
  }
  return { past, damaged, end: beginOf(lines) + lines.length };
}

const NEWLINE = 0x0a;

/** What is said of the file itself. */
type FileRecord = { t: 'format'; version: unknown } | { t: 'compacted' };

function recordIn(line: string): LedgerRecord | FileRecord | null {
  try {
    const record = JSON.parse(line) as LedgerRecord | null;
    return typeof record?.t === 'string' ? record : null;
  } catch {
    return null;
  }
}

/** How many of the newest records an adopting worker asks for, of kinds that pile up in a long life. */
export const REMEMBERED = 1_000;

/** The turns that ran longer than the task's limit, the newest of them. */
export const overdueTurns = (past: readonly LedgerRecord[]): ReadonlySet<string> =>
  new Set(past.flatMap((each) => (each.t === 'overdue' ? [each.turnId] : [])).slice(-REMEMBERED));

/** How many records of a kind there ever were, compacted ones too. */
export const countOf = (past: readonly LedgerRecord[], of: 'threads' | 'suspended'): number =>
  past.reduce((sum, each) => sum + (each.t === 'earlier' ? each[of] : each.t === KINDS[of] ? 1 : 0), 0);
const KINDS = { threads: 'thread', suspended: 'suspended' } as const;
