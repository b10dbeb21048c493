import type { FileHandle } from 'node:fs/promises';
import { cutFrames, frameEnd, type Frames } from './frames.js';

/** An entry each so many bytes or events, whichever is first. */
const EVERY_BYTES = 64 * 1024;
const EVERY_EVENTS = 256;
const CHUNK_BYTES = 1024 * 1024;

/** Where events of one segment begin. */
export class SparseIndex {
  private readonly ids: number[] = [];
  private readonly offsets: number[] = [];

  /** Notes that the event `id` begins at `offset`, unless a near one is noted. Ids grow. */
  note(id: number, offset: number): void {
    const last = this.ids.length - 1;
    if (last >= 0 && id - this.ids[last]! < EVERY_EVENTS && offset - this.offsets[last]! < EVERY_BYTES)
      return;
    this.ids.push(id);
    this.offsets.push(offset);
  }

  /** The nearest noted event at or before `id`, and where the next noted one begins. */
  before(id: number): { id: number; offset: number; next: number | null } {
    let low = 0;
    let high = this.ids.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.ids[middle]! <= id) low = middle;
      else high = middle - 1;
    }
    return { id: this.ids[low]!, offset: this.offsets[low]!, next: this.offsets[low + 1] ?? null };
  }
}

export interface Scan {
  readonly index: SparseIndex;
  /** End of the last whole frame whose id continues. */
  readonly size: number;
  /** `firstId - 1` when there is none. */
  readonly lastId: number;
  /** Behind `size` there is something else than the begin of a frame: no crash of a worker leaves that. */
  readonly isDamaged: boolean;
}

/** Reads a segment through: its index, and how far its ids are contiguous from `firstId` on. */
export async function scanSegment(handle: Pick<FileHandle, 'read'>, firstId: number): Promise<Scan> {
  const index = new SparseIndex();
  let size = 0;
  let id = firstId;
  let length = CHUNK_BYTES;
  for (;;) {
    const bytes = await readFully(handle, size, length);
    let at = 0;
    let end = frameEnd(bytes, at, id);
    for (; typeof end === 'number'; end = frameEnd(bytes, at, id)) {
      index.note(id++, size + at);
      at = end;
    }
    size += at;
    if (end === 'bad' || bytes.length < length)
      return { index, size, lastId: id - 1, isDamaged: end === 'bad' };
    // One frame larger than what was read.
    length = at === 0 ? length * 2 : CHUNK_BYTES;
  }
}

/** The event `first` and those after it, at most about `maxBytes`. */
export async function readFrames(
  handle: Pick<FileHandle, 'read'>,
  { index, size }: Pick<Scan, 'index' | 'size'>,
  first: number,
  maxBytes: number,
): Promise<Frames> {
  const near = index.before(first);
  const stop = near.id === first ? near.offset : (near.next ?? size);
  let length = Math.min(size, stop + maxBytes) - near.offset;
  for (;;) {
    const { count, bytes } = cutFrames(await readFully(handle, near.offset, length), first - near.id);
    if (count > 0) return { firstId: first, lastId: first + count - 1, bytes };
    if (near.offset + length >= size) throw new Error(`Event ${first} cannot be read`);
    // One event larger than maxBytes: read on until it is whole.
    length = Math.min(size - near.offset, length * 2);
  }
}

/** Reads `length` bytes, fewer only at the end of the file. */
export async function readFully(
  handle: Pick<FileHandle, 'read'>,
  start: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}
