import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { crc32, createGunzip, inflateRaw, type ZlibOptions } from 'node:zlib';
import { createByteQueue } from './byte-queue.js';
import { BLOCK_BYTES, HEADER, HEADER_BYTES, PARALLEL, TRAILER_BYTES } from './gzip-blocks.js';

const inflate = promisify<Buffer, ZlibOptions, Buffer>(inflateRaw);

/** Unpacks what `createGzipBlocks` made, several blocks at once, and any other gzip as one stream. */
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
