import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SerialQueue } from '../async/serial-queue.js';

/** A file is compacted from this size on, and again at twice its compacted size. */
const LONG_BYTES = 1024 * 1024;
/** No line that says where a file begins, with what says its version before it, is longer. */
const START_BYTES = 128;

/**
 * Where a ledger's file begins, bytes in the whole ledger: what was compacted away counts, so that a place means the
 * same before and after.
 * @param begin at least the first `START_BYTES` of the file, or all of it
 */
export function beginOf(begin: Buffer): number {
  const [, base] =
    /^[^\n]*\n\{"t":"compacted","base":(\d+)\}\n/.exec(begin.toString('latin1', 0, START_BYTES)) ?? [];
  return Number(base ?? 0);
}

/** The same of an open file. */
export async function beginOfFile(file: FileHandle): Promise<number> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0);
  return beginOf(buffer.subarray(0, bytesRead));
}

/** Lines that are written one after another, in the order of the calls. */
export interface LedgerFile {
  write(line: string): Promise<void>;
  /** Whether so much was added since the last replacement that another is worth it. */
  isLong(): boolean;
  /**
   * Replaces all lines up to `end`, a place in the whole ledger, by these; later lines stay. Whenever the process or
   * the machine ends, the file is the old or the new one. Nothing happens when it was done meanwhile.
   */
  replace(end: number, lines: readonly string[]): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface OpenedFile {
  path: string;
  handle: FileHandle;
  /** Where it begins in the whole ledger, and how long it is; bytes. */
  base: number;
  size: number;
  hasHead: boolean;
}

/** @param head the line that goes before the first one of this worker's */
export const ledgerFile = (opened: OpenedFile, head: string): LedgerFile => new LinesInOrder(opened, head);

class LinesInOrder implements LedgerFile {
  readonly #path: string;
  #handle: FileHandle;
  #base: number;
  #size: number;
  #hasHead: boolean;
  /** Its size after the last replacement. */
  #compacted = 0;
  #isTorn = false;
  /** What failed is reported to its own caller only; the next one may succeed. */
  readonly #acts = new SerialQueue();

  constructor(
    { path, handle, base, size, hasHead }: OpenedFile,
    private readonly head: string,
  ) {
    this.#path = path;
    this.#handle = handle;
    this.#base = base;
    this.#size = size;
    this.#hasHead = hasHead;
  }

  write(line: string): Promise<void> {
    return this.#acts.run(() => this.#append(line));
  }

  isLong(): boolean {
    return this.#size > Math.max(LONG_BYTES, 2 * this.#compacted);
  }

  replace(end: number, lines: readonly string[]): Promise<void> {
    return this.#acts.run(() => this.#replace(end, lines));
  }

  async sync(): Promise<void> {
    await this.#acts.idle();
    await this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#acts.run(() => this.#handle.close());
  }

  async #append(line: string): Promise<void> {
    const bytes = Buffer.from(this.#hasHead ? line : this.head + line);
    // A full disk may have taken a part of a line; the next one must not join it.
    if (this.#isTorn) await this.#handle.truncate(this.#size);
    this.#isTorn = true;
    await this.#handle.appendFile(bytes);
    this.#isTorn = false;
    this.#hasHead = true;
    this.#size += bytes.length;
  }

  async #replace(end: number, lines: readonly string[]): Promise<void> {
    const from = end - this.#base;
    if (from <= 0 || from > this.#size) return;
    const behind = Buffer.alloc(this.#size - from);
    await this.#handle.read(behind, 0, behind.length, from);
    const base = this.#base + this.#size;
    const begin = `${this.head}${JSON.stringify({ t: 'compacted', base })}\n`;
    const text = Buffer.concat([Buffer.from(begin + lines.join('')), behind]);
    const made = await putInPlace(this.#path, text);
    const earlier = this.#handle;
    this.#handle = made;
    this.#base = base;
    this.#size = text.length;
    this.#hasHead = true;
    this.#isTorn = false;
    this.#compacted = text.length;
    await earlier.close();
    // Before anything else is written: what is kept in the new file must not go with it at a loss of power.
    await syncFolder(dirname(this.#path));
  }
}

const besideOf = (path: string): string => `${path}.compacted`;

/** Removes what a worker left that was killed before its replacement was in place. */
export const removeHalf = (path: string): Promise<void> => rm(besideOf(path), { force: true });

/** Gives the new file, open for what comes next. */
async function putInPlace(path: string, text: Buffer): Promise<FileHandle> {
  const beside = besideOf(path);
  await removeHalf(path);
  const file = await open(beside, 'a+', 0o600);
  try {
    await file.appendFile(text);
    await file.sync();
    await rename(beside, path);
    return file;
  } catch (error) {
    await file.close();
    await removeHalf(path).catch(() => undefined);
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
