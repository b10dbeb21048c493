import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { reasonOf, TaskError } from '../../errors.js';
import type { CliIo } from '../io.js';

/**
 * The bytes of a file, or of stdin for `-`.
 * @throws TaskError `BadInput` when it cannot be read or is longer than `maxBytes`
 */
export async function readSecretFile(path: string, maxBytes: number, io: CliIo): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    const stream = path === '-' ? io.stdin : createReadStream(path);
    for await (const chunk of stream as AsyncIterable<string | Buffer>) {
      const piece = Buffer.from(chunk as string);
      chunks.push(piece);
      bytes += piece.length;
      if (bytes > maxBytes) break;
    }
  } catch (error) {
    throw new TaskError('BadInput', `${path} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
  if (bytes <= maxBytes) return Buffer.concat(chunks);
  throw new TaskError('BadInput', `${path}: expected at most ${maxBytes} bytes, got more`);
}

/**
 * Writes a new file that only its owner can read, whole and synced, or none.
 * @throws TaskError `BadInput` when it exists or cannot be written
 */
export async function writeSecretFile(path: string, bytes: Buffer): Promise<void> {
  // A terminal, as any device, exists already.
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw new TaskError('BadInput', `${path} cannot be written: ${reasonOf(error)}`, { cause: error });
  });
  try {
    await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw new TaskError('BadInput', `${path} cannot be written: ${reasonOf(error)}`, { cause: error });
  } finally {
    await file.close();
  }
}
