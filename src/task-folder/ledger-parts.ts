import type { FileHandle } from 'node:fs/promises';
import { beginOfFile } from './ledger-file.js';
import { requireKnownLines } from './ledger.js';

const READ_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** No line that says a version is longer. */
const HEAD_BYTES = 64;

/**
 * Where the last whole line of a ledger's file ends; `from` when none ends behind it. What is behind that is being
 * written. Bytes.
 */
export async function wholeLinesEnd(file: FileHandle, from: number): Promise<number> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let end = (await file.stat()).size; end > from;) {
    const at = Math.max(from, end - READ_BYTES);
    const { bytesRead } = await file.read(buffer, 0, end - at, at);
    const newline = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (newline !== -1) return at + newline + 1;
    end = at;
  }
  return from;
}

/** What a ledger's file has behind a place in the whole ledger, bytes; all places but `from` are in the file. */
export interface LedgerPiece {
  from: number;
  to: number;
  /** Where it ends in the whole ledger. */
  end: number;
}

/** The whole lines behind `after`; all of the file when it was compacted since. */
export async function pieceAfter(file: FileHandle, after: number): Promise<LedgerPiece> {
  const begin = await beginOfFile(file);
  // A file that was cut behind what is saved is saved again.
  const base = after > begin + (await file.stat()).size ? after : begin;
  const from = Math.max(after - base, 0);
  const to = await wholeLinesEnd(file, from);
  return { from, to, end: base + to };
}

/**
 * Passes the lines of a ledger on as they come, few of them in memory.
 * @throws NewerFormat at the first line of a newer worker
 */
export async function* knownLinesOf(source: AsyncIterable<Buffer>, what: string): AsyncGenerator<Buffer> {
  let head = '';
  for await (const bytes of source) {
    const [rest = '', ...lines] = bytes.toString('latin1').split('\n');
    if (head.length < HEAD_BYTES) head += rest.slice(0, HEAD_BYTES);
    requireKnownLines(head, what);
    for (const line of lines) {
      head = line.slice(0, HEAD_BYTES);
      requireKnownLines(head, what);
    }
    yield bytes;
  }
}
