import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { realPathOf } from './open-work-file.js';
import { WorkFileFault } from './work-file-fault.js';

/** Where uploads lie below a workdir. */
export const UPLOADS = 'uploads';

/** What an upload is called while it comes. Of a worker that was killed some may be left. */
const PART = /^\.[0-9a-f]{18}\.part$/;

/** Whether this path below a workdir is an upload that has not come whole. */
export function isPartOfUpload(path: string): boolean {
  const [folder, name, ...rest] = path.split('/');
  return folder === UPLOADS && name !== undefined && rest.length === 0 && PART.test(name);
}

/** Removes what uploads that broke off with a worker have left. */
export async function clearParts(work: string): Promise<void> {
  const folder = await openUploads(work).catch(() => null);
  if (!folder) return;
  try {
    const at = pathOf(folder, work);
    for (const name of await readdir(at)) if (PART.test(name)) await rm(join(at, name), { force: true });
  } finally {
    await folder.close();
  }
}

const MAX_NAME_BYTES = 255;

/** The name an upload is stored under: the last part of what was given; null when there is no usable one. */
export function uploadName(given: string): string | null {
  const name = given.replaceAll('\\', '/').split('/').at(-1)!.toWellFormed();
  const unusable = name === '' || name === '.' || name === '..' || /\p{Cc}/u.test(name);
  return unusable || Buffer.byteLength(name) > MAX_NAME_BYTES ? null : name;
}

/**
 * Stores one file as `work/uploads/<name>` through a temporary file next to it, which is gone when this fails. An
 * earlier file of that name is replaced. Gives its size in bytes.
 * @throws WorkFileFault `too-large` past `maxBytes`; `forbidden` when the agent has put a link or a file in the
 * folder's place, `bad-path` when a folder has that name
 */
export async function storeUpload(
  work: string,
  name: string,
  content: AsyncIterable<Buffer>,
  maxBytes: number,
): Promise<number> {
  const folder = await madeUploads(work);
  try {
    const at = pathOf(folder, work);
    const temporary = join(at, `.${randomBytes(9).toString('hex')}.part`);
    try {
      const bytes = await writeNew(temporary, content, maxBytes);
      await rename(temporary, join(at, name));
      return bytes;
    } catch (error) {
      await rm(temporary, { force: true });
      throw isFolderInPlace(error) ? new WorkFileFault('bad-path') : error;
    }
  } finally {
    await folder.close();
  }
}

/** By the open folder, not by its name: the agent may rename it or put a link in its place meanwhile. */
const pathOf = (folder: FileHandle, work: string): string =>
  process.platform === 'linux' ? `/proc/self/fd/${folder.fd}` : join(work, UPLOADS);

async function madeUploads(work: string): Promise<FileHandle> {
  await mkdir(join(work, UPLOADS), { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return openUploads(work);
}

async function openUploads(work: string): Promise<FileHandle> {
  const path = join(work, UPLOADS);
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const folder = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      throw error.code === 'ELOOP' || error.code === 'ENOTDIR' ? new WorkFileFault('forbidden') : error;
    },
  );
  try {
    if ((await realPathOf(folder, path)) === join(await realpath(work), UPLOADS)) return folder;
    throw new WorkFileFault('forbidden');
  } catch (error) {
    await folder.close();
    throw error;
  }
}

async function writeNew(path: string, content: AsyncIterable<Buffer>, maxBytes: number): Promise<number> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
  try {
    let bytes = 0;
    for await (const piece of content) {
      bytes += piece.length;
      if (bytes > maxBytes) throw new WorkFileFault('too-large');
      await file.appendFile(piece);
    }
    return bytes;
  } finally {
    await file.close();
  }
}

const isFolderInPlace = (error: unknown): boolean =>
  ['EISDIR', 'ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
