/** Consecutive events as one buffer of Server-Sent Event frames, encoded once for all subscribers. */
export interface Frames {
  readonly firstId: number;
  readonly lastId: number;
  readonly bytes: Buffer;
}

/**
 * Frames of consecutive events: an id line and one data line each.
 * @param events one line of JSON each (text with a line break inside is made one line first)
 */
export function encodeFrames(firstId: number, events: readonly string[]): Frames {
  let text = '';
  let id = firstId;
  for (const json of events) text += `id: ${id++}\ndata: ${oneLine(json)}\n\n`;
  return { firstId, lastId: id - 1, bytes: Buffer.from(text) };
}

/**
 * The event that stands for events which are no longer, or never were, in the journal.
 * @param at when they were lost; one that retention makes for a reader has no time
 */
export const gapEvent = (from: number, to: number, at?: number): string =>
  JSON.stringify({ type: 'x-optio-gap', from, to, at });

/** One frame in the place of the events `from` to `to`; a client that saw it continues after `to`. */
export function gapFrames(from: number, to: number): Frames {
  return { firstId: from, lastId: to, bytes: encodeFrames(to, [gapEvent(from, to)]).bytes };
}

/** Whether the first frame is a recorded gap that reaches down to `id`. */
export function isGapFrom(bytes: Buffer, id: number): boolean {
  const head = bytes.toString('latin1', 0, GAP_BYTES);
  const [, from] = /^id: \d+\ndata: \{"type":"x-optio-gap","from":(\d+),/.exec(head) ?? [];
  return from !== undefined && Number(from) <= id;
}

/** Id of the first frame. */
export const firstFrameId = (bytes: Buffer): number => {
  const [, id] = /^id: (\d+)\n/.exec(bytes.toString('latin1', 0, GAP_BYTES)) ?? [];
  return Number(id);
};

/** The whole frames in `bytes` after the first `skip` ones, as a part of it. */
export function cutFrames(bytes: Buffer, skip: number): { count: number; bytes: Buffer } {
  let from = 0;
  let to = 0;
  let count = -skip;
  for (let at = bytes.indexOf(FRAME_END); at !== -1; at = bytes.indexOf(FRAME_END, to)) {
    to = at + FRAME_END.length;
    if (count < 0) from = to;
    count++;
  }
  return { count: Math.max(count, 0), bytes: bytes.subarray(from, Math.max(from, to)) };
}

/** The frames up to this id; null when all are newer. */
export function framesUpTo(frames: Frames, upToId: number): Frames | null {
  const { firstId, lastId, bytes } = frames;
  if (lastId <= upToId) return frames;
  // Ids are contiguous but before the first frame: that may be a gap, as new as its end.
  const count = upToId - (firstFrameId(bytes) - 1);
  let to = 0;
  for (let n = 0; n < count; n++) to = bytes.indexOf(FRAME_END, to) + FRAME_END.length;
  return to === 0 ? null : { firstId, lastId: upToId, bytes: bytes.subarray(0, to) };
}

/**
 * The end of the whole frame that begins at `start` and has this id: `'part'` when the bytes end before it
 * does, `'bad'` when what is there is no such frame.
 */
export function frameEnd(bytes: Buffer, start: number, id: number): number | 'part' | 'bad' {
  const end = bytes.indexOf(FRAME_END, start);
  const head = `id: ${id}\ndata: `;
  const there = bytes.toString('latin1', start, Math.min(start + head.length, bytes.length));
  if (!head.startsWith(there)) return 'bad';
  if (end === -1) return 'part';
  return there === head ? end + FRAME_END.length : 'bad';
}

const FRAME_END = Buffer.from('\n\n');
const GAP_BYTES = 96;

/** A raw line break can only be white space between JSON tokens: inside a string it would be escaped. */
const oneLine = (json: string): string =>
  json.includes('\n') || json.includes('\r') ? json.replace(/[\r\n]+/g, ' ') : json;
