import { setTimeout as delay } from 'node:timers/promises';
import { within } from '../async/within.js';
import { FrameRing } from './frame-ring.js';
import { encodeFrames, framesUpTo, gapFrames, isGapFrom, type Frames } from './frames.js';
import type { Journal, JournalOptions, JournalReader } from './journal.js';
import type { Segments } from './segments.js';

/** A batch is closed at about this many characters, so that readers get no piece that is much larger. */
const BATCH_CHARACTERS = 128 * 1024;
const SYNC_MS = 1_000;
/** Rest after a batch, in times of what its delivery took. */
const REST_FACTOR = 2;
const MIN_REST_MS = 0.5;
const MAX_REST_MS = 20;

/** A journal over its files: batches writes, remembers the newest, tells readers. */
export class FileJournal implements Journal {
  lastId: number;
  private nextId: number;
  private waiting: string[] = [];
  private writing: Promise<void> | null = null;
  private failure: Error | null = null;
  /** When readers have had as long a rest as their last batch took, in the time of performance.now(). */
  private restUntil = 0;
  private syncTimer: NodeJS.Timeout | null = null;
  private ending: Promise<void> | null = null;
  private closing: Promise<void> | null = null;
  private isOver = false;
  private readonly ring = new FrameRing();
  private readonly readers = new Set<JournalReader>();
  private lastReaderLeft: (() => void) | null = null;
  /** The newest batch that may not be shown, or not all of it. */
  private held: Frames | null = null;

  constructor(
    private readonly segments: Segments,
    nextId: number,
    private readonly options: Pick<JournalOptions, 'onFailure' | 'ids'>,
  ) {
    this.lastId = segments.lastId;
    this.nextId = nextId;
    options.ids?.onGrown(() => this.showHeld());
  }

  get shownId(): number {
    return Math.min(this.lastId, this.options.ids?.upTo ?? Infinity);
  }

  get takenId(): number {
    return this.nextId - 1;
  }

  get isCut(): boolean {
    return this.segments.isCut;
  }

  get ended(): boolean {
    return this.isOver;
  }

  append(json: string): number {
    if (this.ending) throw new Error('the journal has ended');
    const id = this.nextId++;
    if (this.failure) return id;
    this.waiting.push(json);
    this.writing ??= this.writeBatches();
    return id;
  }

  async flushed(): Promise<void> {
    while (this.writing) await this.writing;
    if (this.failure) throw this.failure;
  }

  async sync(): Promise<void> {
    await this.flushed();
    await this.segments.sync();
  }

  async mend(): Promise<void> {
    while (this.writing) await this.writing;
    if (!this.failure || this.ending) return;
    await this.segments.repair();
    this.nextId = this.lastId + 1;
    this.failure = null;
  }

  async read(afterId: number, maxBytes: number, upToId = this.lastId): Promise<Frames | null> {
    if (afterId >= upToId) return null;
    const frames = await this.readOn(afterId, maxBytes);
    return frames && framesUpTo(frames, upToId);
  }

  private async readOn(afterId: number, maxBytes: number): Promise<Frames | null> {
    const wanted = afterId + 1;
    const frames = this.ring.read(wanted, maxBytes) ?? (await this.segments.read(wanted, maxBytes));
    if (!frames) return gapFrames(wanted, this.lastId);
    if (frames.firstId === wanted || isGapFrom(frames.bytes, wanted)) return frames;
    return gapFrames(wanted, frames.firstId - 1);
  }

  follow(reader: JournalReader): () => void {
    this.readers.add(reader);
    return () => {
      this.readers.delete(reader);
      if (this.readers.size === 0) this.lastReaderLeft?.();
    };
  }

  end(): Promise<void> {
    this.ending ??= this.finish();
    return this.ending;
  }

  close(graceMs = 0): Promise<void> {
    this.closing ??= (async () => {
      await this.end();
      if (this.readers.size > 0 && graceMs > 0) await this.readersLeft(graceMs);
      for (const reader of [...this.readers]) reader.onCut();
      this.readers.clear();
      this.options.ids?.close();
      await this.segments.close();
    })();
    return this.closing;
  }

  private async finish(): Promise<void> {
    if (this.syncTimer) clearTimeout(this.syncTimer);
    // A refusal of the disk was reported when it happened, or is now.
    await this.sync().catch((error: Error) => this.fail(error));
    this.isOver = true;
    for (const reader of [...this.readers]) reader.onEnd();
  }

  private async readersLeft(graceMs: number): Promise<void> {
    const left = new Promise<void>((resolve) => (this.lastReaderLeft = resolve));
    await within(graceMs, left);
  }

  /** One write at a time; what is appended meanwhile becomes the next batch. */
  private async writeBatches(): Promise<void> {
    await nextTick();
    try {
      while (this.waiting.length > 0) {
        await this.rest();
        await this.writeBatch(this.takeBatch());
      }
    } catch (error) {
      this.fail(error as Error);
    } finally {
      this.writing = null;
    }
  }

  /** The longer the readers take together, the more goes into one batch: each costs them the same. */
  private async rest(): Promise<void> {
    const milliseconds = Math.min(this.restUntil - performance.now(), MAX_REST_MS);
    if (milliseconds > MIN_REST_MS) await delay(milliseconds);
  }

  private takeBatch(): Frames {
    let characters = 0;
    let count = 0;
    while (count < this.waiting.length && characters < BATCH_CHARACTERS)
      characters += this.waiting[count++]!.length;
    const taken = count === this.waiting.length ? this.waiting : this.waiting.splice(0, count);
    if (taken === this.waiting) this.waiting = [];
    // Ids are given at append, one each, so those of what waits end below the next one.
    return encodeFrames(this.nextId - this.waiting.length - taken.length, taken);
  }

  private async writeBatch(batch: Frames): Promise<void> {
    await this.segments.write(batch);
    this.lastId = batch.lastId;
    this.ring.push(batch);
    this.syncTimer ??= setTimeout(() => this.syncSoon(), SYNC_MS).unref();
    this.options.ids?.reached(batch.lastId);
    this.show(batch);
  }

  private showHeld(): void {
    if (this.held) this.show(this.held);
  }

  private show(batch: Frames): void {
    const shown = framesUpTo(batch, this.shownId);
    this.held = shown === batch ? null : batch;
    const begun = performance.now();
    if (shown) for (const reader of this.readers) reader.onBatch(shown);
    const ended = performance.now();
    this.restUntil = ended + (ended - begun) * REST_FACTOR;
  }

  private syncSoon(): void {
    this.syncTimer = null;
    if (!this.ending) this.segments.sync().catch((error: Error) => !this.closing && this.fail(error));
  }

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.waiting = [];
    // Best effort: opening cuts it too.
    void this.segments.repair().catch(() => undefined);
    this.options.onFailure?.(error);
  }
}

const nextTick = () => new Promise<void>((resolve) => setImmediate(resolve));
