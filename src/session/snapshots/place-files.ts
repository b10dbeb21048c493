import { constants } from 'node:fs';
import { mkdir, open, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { reasonOf, TaskError } from '../../errors.js';
import { openBlob } from '../../store/blobs.js';
import type { Store } from '../../store/mongo.js';
import type { TaskSpec } from '../../task-input.js';

/**
 * Writes the input's files into the workdir; their paths were checked at the door.
 * @throws TaskError `BadInput` naming the first file that cannot be had
 */
export async function placeFiles(store: Store, work: string, files: TaskSpec['files']): Promise<void> {
  for (const [index, { path, blobId }] of files.entries()) {
    try {
      await writeInWork(work, path, await openBlob(store, blobId));
    } catch (error) {
      const field = error instanceof TaskError ? 'blobId' : 'path';
      throw new TaskError('BadInput', `files[${index}].${field}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

/** Writes one file below `work`, also where a restored workdir holds links that lead outside: not through them. */
export async function writeInWork(work: string, path: string, content: Readable): Promise<void> {
  const target = join(work, path);
  await mkdir(dirname(target), { recursive: true });
  const folder = await realpath(dirname(target));
  const root = await realpath(work);
  if (folder !== root && !folder.startsWith(root + sep)) throw new Error(`${path} leads outside the workdir`);
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const file = await open(target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o644);
  await pipeline(content, file.createWriteStream());
}
