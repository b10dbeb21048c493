import { constants, type ZlibOptions } from 'node:zlib';

const SAMPLE_BYTES = 8 * 1024;

/** Zlib's options for a block, and the share of its length that is likely left then. */
export interface Deflating {
  readonly options: ZlibOptions;
  readonly share: number;
}

/** The usual way; the search for repetitions takes three quarters of its time. */
const SEARCH: ZlibOptions = { level: 1 };
/** Without that search. */
const CODES: ZlibOptions = { level: 1, strategy: constants.Z_HUFFMAN_ONLY };
/** The same, and runs of one byte, of which the headers of small files are full. */
const RUNS: ZlibOptions = { level: 1, strategy: constants.Z_RLE };
const STORED: ZlibOptions = { level: 0 };

/** Bytes that have to repeat before a reference is shorter than codes for them. */
const REPEAT_BYTES = 6;
const SLOTS = 4096;
/** Search where it saves a tenth. */
const MIN_REPEATED = 0.18;
const MIN_RUNS = 0.03;
/** What codes do not make smaller than this is stored. */
const MIN_STORED = 0.97;
/** Samples may be wrong by so much. */
const SPARE = 0.05;

/**
 * Most of deflate's time goes into the search for repetitions. Two samples tell whether it pays: what has few is
 * only coded (3 times as fast), what does not shrink at all is stored. Counting them in the samples costs a
 * tenth of compressing these to see.
 * @param headers share of the block that is known to be mostly zeros, of which the samples may have none
 */
export function howToDeflate(block: Uint8Array, headers = 0): Deflating {
  const counts = new Uint32Array(256);
  const lastAt = new Int32Array(SLOTS).fill(-1);
  let total = 0;
  let repeated = 0;
  let runs = 0;
  for (const quarter of [1, 3]) {
    const from = (block.length >> 2) * quarter;
    const to = Math.min(from + SAMPLE_BYTES, block.length);
    total += to - from;
    let coveredTo = from;
    let same = 0;
    for (let at = from; at < to; at++) {
      const byte = block[at]!;
      counts[byte]!++;
      same = at > from && byte === block[at - 1] ? same + 1 : 0;
      if (same >= 3) runs++;
      if (at + REPEAT_BYTES > to) continue;
      const slot = slotOf(block, at);
      const before = lastAt[slot]!;
      lastAt[slot] = at;
      if (before < 0 || !isRepeat(block, before, at)) continue;
      repeated += Math.min(REPEAT_BYTES, at + REPEAT_BYTES - coveredTo);
      coveredTo = at + REPEAT_BYTES;
    }
  }
  if (total === 0) return { options: SEARCH, share: 1 };
  const coded = bitsPerByte(counts, total) / 8;
  const share = Math.min(1, coded + SPARE);
  // What a run repeats needs no search.
  if ((repeated - runs) / total >= MIN_REPEATED) return { options: SEARCH, share };
  if (headers + runs / total >= MIN_RUNS) return { options: RUNS, share };
  return coded > MIN_STORED ? { options: STORED, share: 1 } : { options: CODES, share };
}

const slotOf = (bytes: Uint8Array, at: number): number =>
  (Math.imul(
    bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24),
    0x9e3779b1,
  ) ^
    Math.imul(bytes[at + 4]! | (bytes[at + 5]! << 8), 0x85ebca6b)) >>>
  20;

function isRepeat(bytes: Uint8Array, one: number, other: number): boolean {
  for (let i = 0; i < REPEAT_BYTES; i++) if (bytes[one + i] !== bytes[other + i]) return false;
  return true;
}

/** Entropy of single bytes: what Huffman codes come close to. */
function bitsPerByte(counts: Uint32Array, total: number): number {
  let bits = 0;
  for (const count of counts) if (count > 0) bits += count * Math.log2(total / count);
  return bits / total;
}
