import { open, rename, type FileHandle } from 'node:fs/promises';
import { readFully, type Scan } from './segment-index.js';

const CHUNK_BYTES = 1024 * 1024;
const HEAD = /\n\nid: (\d{1,15})\ndata: /g;
/** No head is longer. */
const HEAD_BYTES = 64;
/** No event is shorter: an id that grew by more is no id. */
const EVENT_BYTES = 16;

/**
 * Where the events continue behind a damaged place; null when they do not.
 * @param scan what is whole before it
 */
export async function findRest(
  handle: Pick<FileHandle, 'read'>,
  { size, lastId }: Pick<Scan, 'size' | 'lastId'>,
): Promise<{ firstId: number; offset: number } | null> {
  const start = Math.max(size - 2, 0);
  for (let at = start; ; at += CHUNK_BYTES - HEAD_BYTES) {
    const bytes = await readFully(handle, at, CHUNK_BYTES);
    for (const { 1: id, index } of bytes.toString('latin1').matchAll(HEAD)) {
      const [firstId, offset] = [Number(id), at + index + 2];
      if (firstId > lastId && firstId - lastId <= (offset - size) / EVENT_BYTES + 2)
        return { firstId, offset };
    }
    if (bytes.length < CHUNK_BYTES) return null;
  }
}

/** Copies what a segment has from there on into a file of its own, which is whole once it has its name. */
export async function moveRest(handle: FileHandle, offset: number, path: string): Promise<void> {
  const rest = await open(`${path}.new`, 'w', 0o600);
  try {
    for (let at = offset; ;) {
      const bytes = await readFully(handle, at, CHUNK_BYTES);
      await rest.writeFile(bytes);
      at += bytes.length;
      if (bytes.length < CHUNK_BYTES) break;
    }
    await rest.datasync();
  } finally {
    await rest.close();
  }
  await rename(`${path}.new`, path);
}
