import type { FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 1024 * 1024;

/**
 * One Server-Sent Event: an id line and one data line.
 * @param json one line of JSON (text with a line break inside is made one line first)
 */
export function encodeFrame(id: number, json: string): Buffer {
  // A raw line break can only be white space between JSON tokens: inside a string it would be escaped.
  const line = /[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json;
  return Buffer.from(`id: ${id}\ndata: ${line}\n\n`);
}

/** The start of each whole frame of a file, then the end of the last whole one. */
export async function* scanFrames(
  handle: FileHandle,
): AsyncGenerator<{ kind: 'frame' | 'end'; start: number }> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let frameStart = 0;
  let position = 0;
  let lastWasBreak = false;
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) break;
    let at = 0;
    while ((at = chunk.subarray(0, bytesRead).indexOf(10, at)) !== -1) {
      const before = at === 0 ? lastWasBreak : chunk[at - 1] === 10;
      at++;
      if (!before || position + at - frameStart < 2) continue;
      yield { kind: 'frame', start: frameStart };
      frameStart = position + at;
    }
    lastWasBreak = chunk[bytesRead - 1] === 10;
    position += bytesRead;
  }
  yield { kind: 'end', start: frameStart };
}
