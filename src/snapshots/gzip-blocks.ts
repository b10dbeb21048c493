import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { crc32, deflateRaw, type ZlibOptions } from 'node:zlib';
import { howToDeflate } from './how-to-deflate.js';

/** Bytes that are compressed in one piece. */
export const BLOCK_BYTES = 1024 * 1024;
/** Blocks under way at once; one thread of libuv's four is left to others. */
export const PARALLEL = Math.min(3, availableParallelism() + 1);

/**
 * A gzip member for each block, with the length of its compressed bytes in an extra field (RFC 1952, 2.3.1.1):
 * any gzip reads them one after another, and `gunzipBlocks` several at a time. The field is `CT`, four bytes.
 */
export const HEADER = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x43, 0x54, 4, 0]);
export const HEADER_BYTES = HEADER.length + 4;
export const TRAILER_BYTES = 8;

const deflate = promisify<Buffer, ZlibOptions, Buffer>(deflateRaw);

/** Takes bytes as they come and compresses them on libuv's threads, block by block, in bounded memory. */
export interface GzipBlocks {
  /** Where the next bytes may be put, at most `length` and at least one; `filled` tells how many were. */
  room(length: number): Buffer;
  filled(length: number): void;
  /** The same for what the archive itself says: headers, of which most is zeros. */
  add(bytes: Uint8Array): void;
  /** So many blocks are under way that `next` is to be taken before more comes. */
  readonly isFull: boolean;
  /** The oldest block, compressed, in pieces; null when none is under way. */
  next(): Promise<Buffer[]> | null;
  /** After the last byte: what is left is compressed too. */
  end(): void;
}

export function createGzipBlocks(): GzipBlocks {
  const free: Buffer[] = [];
  const running: Promise<Buffer[]>[] = [];
  let block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let used = 0;
  let added = 0;
  const start = () => {
    const full = block;
    const packed = gzipBlock(full.subarray(0, used), added).finally(() => free.push(full));
    packed.catch(() => undefined);
    running.push(packed);
  };
  const filled = (length: number) => {
    used += length;
    if (used < BLOCK_BYTES) return;
    start();
    block = free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    used = 0;
    added = 0;
  };
  return {
    room: (length) => block.subarray(used, Math.min(BLOCK_BYTES, used + length)),
    filled,
    add(bytes) {
      for (let at = 0; at < bytes.length;) {
        const taken = Math.min(BLOCK_BYTES - used, bytes.length - at);
        block.set(at === 0 && taken === bytes.length ? bytes : bytes.subarray(at, at + taken), used);
        at += taken;
        added += taken;
        filled(taken);
      }
    },
    get isFull() {
      return running.length >= PARALLEL;
    },
    next: () => running.shift() ?? null,
    end: start,
  };
}

async function gzipBlock(block: Buffer, headers: number): Promise<Buffer[]> {
  const { options, share } = howToDeflate(block, headers / block.length);
  // Room for what is expected: a whole block's for each of them would be twice the memory to clean up.
  const body = await deflate(block, { ...options, chunkSize: Math.ceil(block.length * share) + 4096 });
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  HEADER.copy(header);
  header.writeUInt32LE(body.length, HEADER.length);
  const trailer = Buffer.allocUnsafe(TRAILER_BYTES);
  trailer.writeUInt32LE(crc32(block), 0);
  trailer.writeUInt32LE(block.length, 4);
  return [header, body, trailer];
}
