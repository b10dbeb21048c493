import { open, mkdir, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeFrame, scanFrames } from './frames.js';

/** Newest frames kept in memory; older ones are read from the file. */
const RING_FRAMES = 1_000;
/** A segment that is larger is closed and a new one begun, so that opening and indexing stay quick. */
const SEGMENT_BYTES = 32 * 1024 * 1024;
/** One index entry each so many events. */
const INDEX_EVERY = 256;
const SYNC_MS = 1_000;

/**
 * The events of one task: append-only files of ready-made SSE frames, ids from 1 and contiguous. An event is
 * in the file (the write has returned) before any listener hears of it.
 */
export interface Journal {
  /** Id of the newest event that is in the file; 0 when there is none. */
  readonly lastId: number;
  /** Takes an event (one line of JSON) and gives its id at once; it is written with the next batch. */
  append(json: string): number;
  /** Resolves when everything appended so far is in the file; rejects when the disk refused it. */
  flushed(): Promise<void>;
  /** Flushes, then asks the disk to keep it through a power loss. */
  sync(): Promise<void>;
  /** Frames after `afterId` as one buffer of at most about `maxBytes`, or null at the end. */
  read(afterId: number, maxBytes: number): Promise<Frames | null>;
  /** Calls `listener` after each batch that reached the file. Returns its own removal. */
  onBatch(listener: (batch: Frames) => void): () => void;
  /** No more events are taken; resolves when all are on the disk and readers were told. Repeatable. */
  end(): Promise<void>;
  readonly ended: boolean;
  /** Calls `listener` once, after the last batch. Returns its own removal; as long as one is there, so is its reader. */
  onEnd(listener: () => void): () => void;
  /** Ends it, waits up to `graceMs` for readers to finish, and closes the files. */
  close(graceMs?: number): Promise<void>;
}

/** Consecutive frames, encoded once for all subscribers. */
export interface Frames {
  readonly firstId: number;
  readonly lastId: number;
  readonly bytes: Buffer;
}

interface Segment {
  readonly firstId: number;
  readonly handle: FileHandle;
  size: number;
  /** Byte offset of the events `firstId`, `firstId + INDEX_EVERY`, … */
  readonly index: number[];
}

/**
 * Opens the journal in `folder`, which is made when absent. A last record cut by a crash is removed: nobody
 * has seen it.
 */
export async function openJournal(folder: string): Promise<Journal> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const segments: Segment[] = [];
  const names = (await readdir(folder)).filter((name) => SEGMENT_NAME.test(name)).sort();
  for (const name of names) segments.push(await openSegment(join(folder, name)));
  return new FileJournal(folder, segments);
}

const SEGMENT_NAME = /^events-\d{12}\.sse$/;
const segmentName = (firstId: number) => `events-${String(firstId).padStart(12, '0')}.sse`;

async function openSegment(path: string): Promise<Segment> {
  const firstId = Number(/(\d{12})\.sse$/.exec(path)?.[1]);
  const handle = await open(path, 'r+');
  const segment: Segment = { firstId, handle, size: 0, index: [] };
  let id = firstId;
  for await (const offset of scanFrames(handle)) {
    if (offset.kind === 'frame' && (id++ - firstId) % INDEX_EVERY === 0) segment.index.push(offset.start);
    if (offset.kind === 'end') segment.size = offset.start;
  }
  await handle.truncate(segment.size);
  counts.set(segment, id - firstId);
  return segment;
}

/** Events in each segment, beside the segments so that a segment stays plain data of the file. */
const counts = new WeakMap<Segment, number>();

class FileJournal implements Journal {
  lastId: number;
  private nextId: number;
  private ring: { id: number; bytes: Buffer }[] = [];
  private waiting: Buffer[] = [];
  private writing: Promise<void> | null = null;
  private failure: Error | null = null;
  private syncTimer: NodeJS.Timeout | null = null;
  private ending: Promise<void> | null = null;
  private isOver = false;
  private readonly listeners = new Set<(batch: Frames) => void>();
  private readonly readers = new Set<() => void>();
  private lastReaderLeft: (() => void) | null = null;

  constructor(
    private readonly folder: string,
    private readonly segments: Segment[],
  ) {
    const last = segments.at(-1);
    this.lastId = last ? last.firstId + (counts.get(last) ?? 0) - 1 : 0;
    this.nextId = this.lastId + 1;
  }

  append(json: string): number {
    if (this.ending) throw new Error('the journal has ended');
    const id = this.nextId++;
    this.waiting.push(encodeFrame(id, json));
    this.writing ??= this.writeBatches();
    return id;
  }

  async flushed(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure;
  }

  async sync(): Promise<void> {
    await this.flushed();
    await this.segments.at(-1)?.handle.datasync();
  }

  onBatch(listener: (batch: Frames) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async read(afterId: number, maxBytes: number): Promise<Frames | null> {
    if (afterId >= this.lastId) return null;
    const oldestInRing = this.ring[0]?.id ?? Infinity;
    return afterId + 1 >= oldestInRing ? this.readRing(afterId, maxBytes) : this.readFile(afterId, maxBytes);
  }

  get ended(): boolean {
    return this.isOver;
  }

  onEnd(listener: () => void): () => void {
    this.readers.add(listener);
    return () => {
      this.readers.delete(listener);
      if (this.readers.size === 0) this.lastReaderLeft?.();
    };
  }

  end(): Promise<void> {
    this.ending ??= (async () => {
      if (this.syncTimer) clearTimeout(this.syncTimer);
      try {
        await this.sync();
      } finally {
        this.isOver = true;
        for (const reader of [...this.readers]) reader();
      }
    })();
    return this.ending;
  }

  async close(graceMs = 0): Promise<void> {
    try {
      await this.end();
      if (this.readers.size > 0 && graceMs > 0) await this.readersLeft(graceMs);
    } finally {
      for (const segment of this.segments.splice(0)) await segment.handle.close();
      this.listeners.clear();
    }
  }

  private readersLeft(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.lastReaderLeft = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One write at a time; what is appended meanwhile becomes the next batch. */
  private async writeBatches(): Promise<void> {
    await nextTick();
    try {
      while (this.waiting.length > 0 && !this.failure) await this.writeBatch();
    } catch (error) {
      this.failure = error as Error;
    } finally {
      this.writing = null;
    }
  }

  private async writeBatch(): Promise<void> {
    const frames = this.waiting;
    this.waiting = [];
    const firstId = this.lastId + 1;
    const segment = await this.segmentFor(firstId);
    const bytes = frames.length === 1 ? frames[0]! : Buffer.concat(frames);
    await writeFully(segment.handle, bytes, segment.size);
    for (const [i, frame] of frames.entries()) {
      const id = firstId + i;
      if ((id - segment.firstId) % INDEX_EVERY === 0) segment.index.push(segment.size);
      segment.size += frame.length;
      this.ring.push({ id, bytes: frame });
    }
    if (this.ring.length > RING_FRAMES * 2) this.ring = this.ring.slice(-RING_FRAMES);
    this.lastId = firstId + frames.length - 1;
    this.scheduleSync();
    const batch = { firstId, lastId: this.lastId, bytes };
    for (const listener of this.listeners) listener(batch);
  }

  private async segmentFor(firstId: number): Promise<Segment> {
    const last = this.segments.at(-1);
    if (last && last.size < SEGMENT_BYTES) return last;
    if (last) await last.handle.datasync();
    const handle = await open(join(this.folder, segmentName(firstId)), 'wx+', 0o600);
    const segment: Segment = { firstId, handle, size: 0, index: [] };
    this.segments.push(segment);
    return segment;
  }

  private scheduleSync(): void {
    this.syncTimer ??= setTimeout(() => {
      this.syncTimer = null;
      if (!this.ending)
        this.segments
          .at(-1)
          ?.handle.datasync()
          .catch((error: Error) => (this.failure ??= error));
    }, SYNC_MS).unref();
  }

  private readRing(afterId: number, maxBytes: number): Frames {
    const start = afterId + 1 - this.ring[0]!.id;
    const picked: Buffer[] = [];
    let size = 0;
    for (let i = start; i < this.ring.length && (size === 0 || size < maxBytes); i++) {
      picked.push(this.ring[i]!.bytes);
      size += this.ring[i]!.bytes.length;
    }
    return { firstId: afterId + 1, lastId: afterId + picked.length, bytes: Buffer.concat(picked, size) };
  }

  private async readFile(afterId: number, maxBytes: number): Promise<Frames> {
    const wanted = afterId + 1;
    const segment = this.segments.findLast((each) => each.firstId <= wanted)!;
    const slot = Math.floor((wanted - segment.firstId) / INDEX_EVERY);
    let skip = (wanted - segment.firstId) % INDEX_EVERY;
    const start = segment.index[slot]!;
    const end = segment.size;
    // What lies before the wanted event is at most one index step.
    const skipBytes = skip === 0 ? 0 : (segment.index[slot + 1] ?? end) - start;
    let length = Math.min(end - start, skipBytes + maxBytes);
    for (;;) {
      const bytes = await readFully(segment.handle, start, length);
      const frames = cutFrames(bytes, skip);
      if (frames.count > 0)
        return { firstId: wanted, lastId: wanted + frames.count - 1, bytes: frames.bytes };
      // One event larger than maxBytes: read on until it is whole.
      length = Math.min(end - start, length * 2);
      skip = (wanted - segment.firstId) % INDEX_EVERY;
    }
  }
}

/** The whole frames in `bytes` after the first `skip` ones. */
function cutFrames(bytes: Buffer, skip: number): { count: number; bytes: Buffer } {
  let from = 0;
  let to = 0;
  let count = -skip;
  for (let at = bytes.indexOf('\n\n'); at !== -1; at = bytes.indexOf('\n\n', to)) {
    to = at + 2;
    if (count < 0) from = to;
    count++;
  }
  return { count: Math.max(count, 0), bytes: bytes.subarray(from, to) };
}

async function readFully(handle: FileHandle, start: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

async function writeFully(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

const nextTick = () => new Promise<void>((resolve) => setImmediate(resolve));
