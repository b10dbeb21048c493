import { constants } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';

/** How far a log was read. */
export interface TailPosition {
  /** Of the file that was read. */
  readonly ino: number;
  /** Bytes: after the last whole line, or, when skipping, after what was skipped. */
  readonly offset: number;
  /** In the middle of a line that is too long: what is left of it does not count as one. */
  readonly skipping: boolean;
}

export interface TailBatch {
  readonly lines: readonly { readonly text: string; readonly truncated: boolean }[];
  /** After these lines; the next batch begins there once it was kept. */
  readonly position: TailPosition;
  /** The file is another one, or was cut, or so much came that the middle was left out. */
  readonly restarted: boolean;
  /** There was nothing more to read. */
  readonly atEnd: boolean;
}

/** Reads what an agent appends to a file, line by line, in bounded memory. */
export interface LogTail {
  /** The next whole lines; null when there is no such file. Gives the same again until `keep`. */
  read(): Promise<TailBatch | null>;
  keep(position: TailPosition): void;
  close(): Promise<void>;
}

const READ_BYTES = 64 * 1024;
/** Longest line. */
export const MAX_LINE_BYTES = 32 * 1024;
/** Of a longer backlog only the end is read: the file may be as large as the agent likes, and hold nothing. */
const MAX_BACKLOG_BYTES = 16 * 1024 * 1024;
const KEPT_BACKLOG_BYTES = 1024 * 1024;
/** Before anything was read. */
export const START: TailPosition = { ino: -1, offset: 0, skipping: false };
const NEWLINE = 0x0a;

/**
 * Opens a tail at a position that an earlier one kept. The agent owns the file: it may cut it, replace it, put a
 * link, a pipe or nothing in its place at any moment. A link is never followed, a pipe never waited for.
 */
export function openLogTail(path: string, from: TailPosition | null): LogTail {
  let position = from ?? START;
  let handle: FileHandle | null = null;
  const buffer = Buffer.allocUnsafe(READ_BYTES);

  async function openFile(): Promise<FileHandle | null> {
    const opened = await open(path, READ_NOW).catch(absent);
    if (!opened) return null;
    let isFile = false;
    try {
      isFile = (await opened.stat()).isFile();
    } finally {
      if (!isFile) await opened.close();
    }
    return isFile ? opened : null;
  }

  /** Whether the open file is no longer the one at the path: what was in it has been read by then. */
  async function wasReplaced(ino: number): Promise<boolean> {
    const now = await lstat(path).catch(absent);
    return now?.ino !== ino;
  }

  async function letGo(): Promise<void> {
    const old = handle;
    handle = null;
    await old?.close();
  }

  return {
    async read() {
      handle ??= await openFile();
      if (!handle) return null;
      const { ino, size } = await handle.stat();
      let at = ino === position.ino ? position : { ...START, ino };
      let restarted = ino !== position.ino && position.ino !== START.ino;
      if (size < at.offset) [at, restarted] = [{ ...START, ino }, true];
      if (size - at.offset > MAX_BACKLOG_BYTES) {
        at = { ino, offset: size - KEPT_BACKLOG_BYTES, skipping: true };
        restarted = true;
      }
      const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, at.offset);
      const found = linesOf(buffer.subarray(0, bytesRead), at);
      const atEnd = found.position.offset === at.offset;
      if (atEnd && (await wasReplaced(ino))) {
        await letGo();
        return { ...found, restarted, atEnd: false };
      }
      return { ...found, restarted, atEnd };
    },
    keep: (kept) => void (position = kept),
    close: letGo,
  };
}

function linesOf(
  bytes: Buffer,
  { ino, offset, skipping }: TailPosition,
): Pick<TailBatch, 'lines' | 'position'> {
  const lines: { text: string; truncated: boolean }[] = [];
  let from = 0;
  let inLong = skipping;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, from);
    if (end === -1) break;
    if (!inLong) lines.push(lineOf(bytes.subarray(from, end)));
    inLong = false;
    from = end + 1;
  }
  const rest = bytes.length - from;
  if (inLong) from = bytes.length;
  else if (rest > MAX_LINE_BYTES) {
    lines.push(lineOf(bytes.subarray(from)));
    inLong = true;
    from = bytes.length;
  }
  return { lines, position: { ino, offset: offset + from, skipping: inLong } };
}

const lineOf = (bytes: Buffer) => {
  const truncated = bytes.length > MAX_LINE_BYTES;
  return { text: bytes.subarray(0, MAX_LINE_BYTES).toString('utf8'), truncated };
};

const READ_NOW = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

function absent(error: NodeJS.ErrnoException): null {
  if (
    ['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'ENODEV', 'EACCES', 'EPERM', 'EISDIR'].includes(error.code ?? '')
  )
    return null;
  throw error;
}
