import type { Frames } from '../journal/journal.js';

const chunks = new WeakMap<Frames, Buffer>();

/** Frames as one chunk of HTTP/1.1's chunked encoding, made once however many subscribers get it. */
export function chunkOf(frames: Frames): Buffer {
  const known = chunks.get(frames);
  if (known) return known;
  const { bytes } = frames;
  const size = bytes.length.toString(16);
  const chunk = Buffer.allocUnsafe(size.length + 2 + bytes.length + 2);
  chunk.write(`${size}\r\n`, 0, 'latin1');
  bytes.copy(chunk, size.length + 2);
  chunk.write('\r\n', chunk.length - 2, 'latin1');
  chunks.set(frames, chunk);
  return chunk;
}
