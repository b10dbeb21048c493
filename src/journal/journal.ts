import { type EventIds } from './event-ids.js';
import { type Frames } from './frames.js';
import { type SegmentsOptions } from './segments.js';

export type { Frames } from './frames.js';

/**
 * The events of one task: append-only files of ready-made SSE frames, ids from 1. Ids are contiguous but for
 * gaps that an `x-optio-gap` event names. An event is in the file (the write has returned) before any reader
 * hears of it.
 */
export interface Journal {
  /** Id of the newest event that is in the file; 0 when there is none. */
  readonly lastId: number;
  /** Id of the newest event that readers may see: one whose id no other host gives to another event. */
  readonly shownId: number;
  /** Id of the newest event that was appended. */
  readonly takenId: number;
  /** Takes an event (one line of JSON) and gives its id at once; it is written with the next batch. */
  append(json: string): number;
  /** Resolves when everything appended so far is in the file; rejects when the disk refused it. */
  flushed(): Promise<void>;
  /** Flushes, then asks the disk to keep it through a power loss. */
  sync(): Promise<void>;
  /**
   * Takes events again after the disk refused one, with the id after the last that was written: nobody has seen a
   * later one. @throws when the disk still refuses
   */
  mend(): Promise<void>;
  /** Frames after `afterId`, and up to `upToId`, as one buffer of at most about `maxBytes`, or null at the end. */
  read(afterId: number, maxBytes: number, upToId?: number): Promise<Frames | null>;
  /** Subscribes `reader` to all that follows. Returns its own removal; until then the journal's end waits for it. */
  follow(reader: JournalReader): () => void;
  /** No more events are taken; resolves when readers were told. Idempotent. */
  end(): Promise<void>;
  readonly ended: boolean;
  /** Its newest events were damaged when it was opened. */
  readonly isCut: boolean;
  /** Ends it, waits up to `graceMs` for readers to finish, cuts them off and closes the files. Idempotent. */
  close(graceMs?: number): Promise<void>;
}

export interface JournalReader {
  /** After each batch that reached the file, once it may be shown; of those that waited for that the newest. */
  onBatch(batch: Frames): void;
  /** Once, after the last batch. */
  onEnd(): void;
  /** Its time is over: nothing can be read any more. */
  onCut(): void;
}

export interface JournalOptions extends SegmentsOptions {
  /** Called once when the disk refuses a write. What was appended and not written is lost then, and no more is taken until it is mended. */
  readonly onFailure?: (error: Error) => void;
  /**
   * Ids up to this one may have been issued by a journal that is lost: continues at the next multiple of 10,000, whose
   * event names the gap.
   */
  readonly lostUpTo?: number;
  /** What may be shown; without it everything. Closed with the journal. */
  readonly ids?: EventIds;
}
