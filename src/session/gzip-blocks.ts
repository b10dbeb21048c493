import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import {
  constants,
  crc32,
  createGunzip,
  deflateRaw,
  deflateRawSync,
  inflateRaw,
  type ZlibOptions,
} from 'node:zlib';
import { createByteQueue } from './byte-queue.js';

/** Bytes that are compressed in one piece. */
const BLOCK_BYTES = 1024 * 1024;
/** Blocks under way at once; one thread of libuv's four is left to others. */
const PARALLEL = Math.min(3, availableParallelism() + 1);

/**
 * A gzip member for each block, with the length of its compressed bytes in an extra field (RFC 1952, 2.3.1.1):
 * any gzip reads them one after another, and this one several at a time. The field is `CT`, four bytes.
 */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x43, 0x54, 4, 0]);
const HEADER_BYTES = HEADER.length + 4;
const TRAILER_BYTES = 8;

const deflate = promisify<Buffer, ZlibOptions, Buffer>(deflateRaw);
const inflate = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw);

/** Compresses on libuv's threads, some blocks at once, in bounded memory. Pieces may be reused once taken. */
export async function* gzipBlocks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const free: Buffer[] = [];
  const running: Promise<Buffer>[] = [];
  const start = (block: Buffer, used: number) => {
    const packed = gzipBlock(block.subarray(0, used)).finally(() => free.push(block));
    packed.catch(() => undefined);
    running.push(packed);
  };
  let block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let used = 0;
  for await (const piece of source) {
    for (let at = 0; at < piece.length;) {
      const taken = piece.copy(block, used, at);
      at += taken;
      used += taken;
      if (used < BLOCK_BYTES) continue;
      start(block, used);
      if (running.length >= PARALLEL) yield await running.shift()!;
      block = free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
      used = 0;
    }
  }
  start(block, used);
  for (let packed = running.shift(); packed; packed = running.shift()) yield await packed;
}

async function gzipBlock(block: Buffer): Promise<Buffer> {
  const body = await deflate(block, { ...howToDeflate(block), chunkSize: BLOCK_BYTES + 4096 });
  const member = Buffer.allocUnsafe(HEADER_BYTES + body.length + TRAILER_BYTES);
  HEADER.copy(member);
  member.writeUInt32LE(body.length, HEADER.length);
  body.copy(member, HEADER_BYTES);
  member.writeUInt32LE(crc32(block), HEADER_BYTES + body.length);
  member.writeUInt32LE(block.length, HEADER_BYTES + body.length + 4);
  return member;
}

const SAMPLE_BYTES = 8 * 1024;
const FAST = { level: 1 } as const;
const NO_SEARCH = { level: 1, strategy: constants.Z_HUFFMAN_ONLY } as const;
const STORED = { level: 0 } as const;

/**
 * Most of deflate's time goes into the search for repetitions. Two samples tell whether it pays: what has none
 * is only Huffman coded (3 times as fast), what does not shrink at all is stored.
 */
function howToDeflate(block: Buffer): ZlibOptions {
  const quarter = block.length >> 2;
  const samples = [quarter, 3 * quarter].map((at) => block.subarray(at, at + SAMPLE_BYTES));
  const size = (options: ZlibOptions) =>
    samples.reduce((sum, sample) => sum + deflateRawSync(sample, options).length, 0);
  const plain = samples.reduce((sum, sample) => sum + sample.length, 0);
  const searched = size(FAST);
  if (searched < plain / 2.2) return FAST;
  const coded = size(NO_SEARCH);
  if (Math.min(searched, coded) > plain * 0.97) return STORED;
  return searched < coded * 0.9 ? FAST : NO_SEARCH;
}

/** Unpacks what `gzipBlocks` made, several blocks at once, and any other gzip as one stream. */
export async function* gunzipBlocks(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const queue = createByteQueue(source);
  const running: Promise<Buffer>[] = [];
  for (let first = true; await queue.has(1); first = false) {
    const isOurs = (await queue.has(HEADER_BYTES)) && queue.peek(HEADER.length).equals(HEADER);
    if (!isOurs) {
      if (!first) throw new Error('its bytes are damaged: a block does not begin as one');
      yield* gunzipStream(queue.rest());
      return;
    }
    const length = queue.take(HEADER_BYTES).readUInt32LE(HEADER.length);
    if (length > 2 * BLOCK_BYTES) throw new Error('its bytes are damaged: a block is longer than any may be');
    if (!(await queue.has(length + TRAILER_BYTES)))
      throw new Error('its bytes are damaged: they end too soon');
    const plain = gunzipBlock(queue.take(length), queue.take(TRAILER_BYTES));
    plain.catch(() => undefined);
    running.push(plain);
    if (running.length >= PARALLEL) yield await running.shift()!;
  }
  for (let plain = running.shift(); plain; plain = running.shift()) yield await plain;
}

async function gunzipBlock(body: Buffer, trailer: Buffer): Promise<Buffer> {
  const length = trailer.readUInt32LE(4);
  if (length > BLOCK_BYTES) throw new Error('its bytes are damaged: a block is longer than any may be');
  const plain = await inflate(body, { maxOutputLength: BLOCK_BYTES, chunkSize: Math.max(length, 1024) });
  if (plain.length !== length || crc32(plain) !== trailer.readUInt32LE(0))
    throw new Error('its bytes are damaged: the checksum of a block differs');
  return plain;
}

async function* gunzipStream(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  const source = Readable.from(bytes, { objectMode: false });
  source.once('error', (error) => gunzip.destroy(error));
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}
