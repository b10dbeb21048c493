import { writeSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { FORMATS, requireKnown } from '../formats.js';
import type { Frames } from './frames.js';
import { findRest, moveRest } from './mend-segment.js';
import { readFrames, scanSegment, SparseIndex, type Scan } from './segment-index.js';

/** A segment that is larger is closed and a new one begun, so that opening and indexing stay quick. */
const SEGMENT_BYTES = 32 * 1024 * 1024;
/** With a limit on the whole journal a segment has at most this part of it: it goes as a whole. */
const SEGMENTS_PER_LIMIT = 8;
/** Closed segments whose index is kept in memory. */
const KNOWN_SCANS = 8;
/** What goes into the page cache faster than another thread is woken for it. */
const SMALL_BYTES = 32 * 1024;

/** Opens a file, as `node:fs/promises` does. */
export type OpenFile = (path: string, flags: string, mode?: number) => Promise<FileHandle>;

export interface SegmentsOptions {
  /** Removes the oldest segments when all have more bytes together; null: keeps everything. */
  readonly maxBytes?: number | null;
  readonly openFile?: OpenFile;
}

interface Segment {
  readonly firstId: number;
  readonly path: string;
  size: number;
}

/** The one that is written. */
interface Active extends Segment {
  readonly handle: FileHandle;
  readonly index: SparseIndex;
  lastId: number;
}

/** The files of one journal, in order of their first ids. Only the newest is open, others while they are read. */
export class Segments {
  private readonly scans = new Map<Segment, Promise<Scan>>();
  private mends = 0;
  private syncing = 0;

  private constructor(
    private readonly folder: string,
    private readonly options: SegmentsOptions,
    private readonly closed: Segment[],
    private active: Active | null,
    /** The newest events are damaged: their ids are not to be given again. */
    readonly isCut: boolean,
  ) {}

  /**
   * Opens the folder, made when absent, without the last record if a crash cut it: nobody has seen it. What is whole
   * behind a damaged place stays, in a segment of its own.
   * @throws NewerFormat, nothing in it touched
   */
  static async open(folder: string, options: SegmentsOptions): Promise<Segments> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = await segmentsIn(folder);
    const found: Segment[] = [];
    for (const name of names) {
      const path = join(folder, name);
      found.push({ firstId: Number(SEGMENT_NAME.exec(name)![1]), path, size: (await stat(path)).size });
    }
    const newest = found.pop();
    if (!newest) return new Segments(folder, options, found, null, false);
    const { before, active, isCut } = await reopen(folder, newest, options.openFile ?? open);
    return new Segments(folder, options, [...found, ...before], active, isCut);
  }

  /** Id of the newest event; 0 when there never was one. */
  get lastId(): number {
    return this.active?.lastId ?? 0;
  }

  /** Begins a segment whose first event will be `firstId`. */
  async startAt(firstId: number): Promise<void> {
    if (this.active?.firstId === firstId) return;
    const full = this.active;
    if (full) {
      await full.handle.datasync();
      // A sync that comes while it closes must not find a closed file: that would count as a refusal of the disk.
      this.active = null;
      this.closed.push({ firstId: full.firstId, path: full.path, size: full.size });
      await full.handle.close();
    }
    const path = join(this.folder, segmentName(firstId));
    const handle = await (this.options.openFile ?? open)(path, 'wx', 0o600);
    this.active = { firstId, path, handle, size: 0, index: new SparseIndex(), lastId: firstId - 1 };
    await this.removeOldest();
  }

  /** Appends frames that continue the ids; they are in the file when this resolves. */
  async write({ firstId, lastId, bytes }: Frames): Promise<void> {
    if (!this.active || this.active.size >= this.segmentBytes) await this.startAt(firstId);
    const active = this.active!;
    // A write may have to wait for a sync of the same file: then never on this thread.
    const isQuick = bytes.length <= SMALL_BYTES && this.syncing === 0;
    let done = isQuick ? writeSync(active.handle.fd, bytes, 0, bytes.length, active.size) : 0;
    while (done < bytes.length) {
      const left = bytes.length - done;
      const { bytesWritten } = await active.handle.write(bytes, done, left, active.size + done);
      done += bytesWritten;
    }
    active.index.note(firstId, active.size);
    active.size += bytes.length;
    active.lastId = lastId;
  }

  /** Frames of the first event from `wanted` on and of those after it, at most about `maxBytes`; null: none. */
  async read(wanted: number, maxBytes: number): Promise<Frames | null> {
    const { mends } = this;
    for (const segment of this.from(wanted)) {
      try {
        const scan = segment === this.active ? this.active : await this.scanned(segment);
        if (this.mends !== mends) return await this.read(wanted, maxBytes);
        const first = Math.max(wanted, segment.firstId);
        if (first <= scan.lastId)
          return await this.use(segment.path, (file) => readFrames(file, scan, first, maxBytes));
      } catch (error) {
        // Removed for its age meanwhile; the next one is the oldest now.
        if (!isMissing(error) || this.from(segment.firstId).includes(segment)) throw error;
      }
    }
    return null;
  }

  async sync(): Promise<void> {
    this.syncing++;
    try {
      await this.active?.handle.datasync();
    } finally {
      this.syncing--;
    }
  }

  /** Cuts what a refused write left behind the last whole batch. */
  async repair(): Promise<void> {
    await this.active?.handle.truncate(this.active.size);
  }

  async close(): Promise<void> {
    await this.active?.handle.close();
  }

  private get segmentBytes(): number {
    const { maxBytes } = this.options;
    return maxBytes ? Math.min(SEGMENT_BYTES, Math.ceil(maxBytes / SEGMENTS_PER_LIMIT)) : SEGMENT_BYTES;
  }

  /** The segment that should hold `wanted` and all newer ones. */
  private from(wanted: number): Segment[] {
    const all: Segment[] = this.active ? [...this.closed, this.active] : [...this.closed];
    return all.slice(
      Math.max(
        0,
        all.findLastIndex((each) => each.firstId <= wanted),
      ),
    );
  }

  private scanned(segment: Segment): Promise<Scan> {
    const known = this.scans.get(segment) ?? this.scan(segment);
    this.scans.delete(segment);
    this.scans.set(segment, known);
    known.catch(() => this.scans.delete(segment));
    for (const oldest of this.scans.keys()) {
      if (this.scans.size <= KNOWN_SCANS) break;
      this.scans.delete(oldest);
    }
    return known;
  }

  /** Reads a closed segment through. What is whole behind a damaged place in it becomes a segment of its own. */
  private async scan(segment: Segment): Promise<Scan> {
    const scan = await this.use(segment.path, (file) => scanSegment(file, segment.firstId));
    const rest = scan.isDamaged ? await this.use(segment.path, (file) => findRest(file, scan)) : null;
    const at = this.closed.indexOf(segment) + 1;
    if (!rest || at === 0 || (this.closed[at] ?? this.active)?.firstId === rest.firstId) return scan;
    const path = join(this.folder, segmentName(rest.firstId));
    await this.use(segment.path, (file) => moveRest(file, rest.offset, path));
    await truncate(segment.path, scan.size);
    const size = segment.size - rest.offset;
    segment.size = scan.size;
    this.closed.splice(this.closed.indexOf(segment) + 1, 0, { firstId: rest.firstId, path, size });
    this.mends++;
    return scan;
  }

  private async use<T>(path: string, act: (file: FileHandle) => Promise<T>): Promise<T> {
    const file = await (this.options.openFile ?? open)(path, 'r');
    try {
      return await act(file);
    } finally {
      await file.close();
    }
  }

  private async removeOldest(): Promise<void> {
    const { maxBytes } = this.options;
    if (!maxBytes) return;
    let total = this.closed.reduce((sum, { size }) => sum + size, 0);
    while (total > maxBytes && this.closed.length > 0) {
      const oldest = this.closed.shift()!;
      total -= oldest.size;
      this.scans.delete(oldest);
      await rm(oldest.path, { force: true });
    }
  }
}

interface Reopened {
  readonly active: Active;
  /** What lay before damaged places in its file. */
  readonly before: Segment[];
  readonly isCut: boolean;
}

async function reopen(folder: string, newest: Segment, openFile: OpenFile): Promise<Reopened> {
  const before: Segment[] = [];
  for (let { firstId, path } = newest; ;) {
    const handle = await openFile(path, 'r+');
    let isKept = false;
    try {
      const { isDamaged, ...scan } = await scanSegment(handle, firstId);
      const rest = isDamaged ? await findRest(handle, scan) : null;
      const restPath = rest && join(folder, segmentName(rest.firstId));
      if (rest && restPath) await moveRest(handle, rest.offset, restPath);
      await handle.truncate(scan.size);
      isKept = !rest || !restPath;
      if (!rest || !restPath) return { active: { firstId, path, handle, ...scan }, before, isCut: isDamaged };
      before.push({ firstId, path, size: scan.size });
      [firstId, path] = [rest.firstId, restPath];
    } finally {
      if (!isKept) await handle.close();
    }
  }
}

const SEGMENT_NAME = /^events-(\d{12})(?:\.v(\d+))?\.sse$/;
const VERSION_NAME: string = FORMATS.segments.version > 1 ? `.v${FORMATS.segments.version}` : '';
/** The file that holds events from this id on. Its name says of which version it is, since all in it is for readers. */
export const segmentName = (firstId: number) =>
  `events-${String(firstId).padStart(12, '0')}${VERSION_NAME}.sse`;

/** Names of the segments in a folder, oldest first. @throws NewerFormat */
export async function segmentsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => SEGMENT_NAME.test(name)).sort();
  for (const name of names)
    requireKnown('segments', Number(SEGMENT_NAME.exec(name)![2] ?? 1), join(folder, name));
  return names;
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';
