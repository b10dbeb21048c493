import type { Frames, Journal } from '../journal/journal.js';

/** A read that several subscribers have in hand. */
interface Read {
  readonly frames: Promise<Frames | null>;
  holders: number;
}

/** What a subscriber has read; it calls `release` once its connection has taken it. */
export interface SharedFrames {
  readonly frames: Frames | null;
  readonly release: () => void;
}

const reads = new WeakMap<Pick<Journal, 'read'>, Map<string, Read>>();

/**
 * Reads from the journal, and gives concurrent readers of the same place the same bytes: one event may have megabytes,
 * and each of many slow subscribers would hold a copy of it.
 */
export async function readShared(
  journal: Pick<Journal, 'read'>,
  afterId: number,
  maxBytes: number,
  upToId: number,
): Promise<SharedFrames> {
  const known = reads.get(journal) ?? new Map<string, Read>();
  reads.set(journal, known);
  const key = `${afterId} ${maxBytes} ${upToId}`;
  const read = known.get(key) ?? { frames: journal.read(afterId, maxBytes, upToId), holders: 0 };
  known.set(key, read);
  read.holders++;
  let isHeld = true;
  const release = () => {
    if (isHeld && --read.holders === 0) known.delete(key);
    isHeld = false;
  };
  try {
    return { frames: await read.frames, release };
  } catch (error) {
    release();
    throw error;
  }
}
