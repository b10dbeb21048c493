import { closeSync, constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { reasonOf, TaskError } from '../errors.js';
import { openBlob } from '../store/blobs.js';
import type { Store } from '../store/mongo.js';
import { codeOf, inFolder, openBelow, openFolder } from './descriptors.js';
import type { TaskSpec } from '../contract/task-spec.js';

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

/**
 * Writes one file below `work`, also where a restored workdir holds links that lead outside: nothing is written or made
 * through those. A link that stays within the workdir is followed.
 */
export async function writeInWork(work: string, path: string, content: Readable): Promise<void> {
  const root = await realpath(work);
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const file = names.pop();
  if (file === undefined) throw new Error(`${path} is no file's path`);
  const top = openFolder(root);
  try {
    const folder = openBelow(top, await reallyIn(root, names, path), 0o777);
    try {
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
      const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK;
      const opened = await open(inFolder(folder, file), flags, 0o644);
      await pipeline(content, opened.createWriteStream());
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    if (!['ELOOP', 'ENOTDIR', 'EISDIR'].includes(codeOf(error))) throw error;
    throw new Error(`${path} leads through a link, or to what is no file`, { cause: error });
  } finally {
    closeSync(top);
  }
}

/** The same folder without the links that are on the way to it. @throws Error when one of them leads outside */
async function reallyIn(root: string, names: readonly string[], path: string): Promise<string[]> {
  for (let known = names.length; known > 0; known--) {
    const real = await realpath(join(root, ...names.slice(0, known))).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
      return null;
    });
    if (real === null) continue;
    if (real !== root && !real.startsWith(root + sep)) throw new Error(`${path} leads outside the workdir`);
    return [
      ...real
        .slice(root.length)
        .split(sep)
        .filter((name) => name !== ''),
      ...names.slice(known),
    ];
  }
  return [...names];
}
