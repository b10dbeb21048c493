import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir, readlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack, type Pack } from 'tar-stream';
import { excluded } from './snapshot-excludes.js';
import type { TaskFolder } from './task-folder.js';

/** Level 1: on mixed files a fifth larger than level 6 and several times quicker. */
const GZIP_LEVEL = 1;

/**
 * A task's workdir and codex's own record of the conversation as a tar.gz stream: `work/…`,
 * `home/.codex/config.toml`, `home/.codex/sessions/…`. Never a credential and no sqlite, which names absolute
 * paths. Folders, symlinks, modes and times are kept; sockets, pipes and devices are left out. A file that
 * changes while it is read is stored as long as it was at the start.
 * @param exclude patterns on paths below `work`; null: the usual ones
 */
export function archiveTask(folder: TaskFolder, exclude: readonly string[] | null): Readable {
  const tar = pack();
  const gzip = createGzip({ level: GZIP_LEVEL });
  const isExcluded = excluded(exclude);
  const filled = (async () => {
    await addTree(tar, folder.work, 'work', isExcluded);
    const keepAll = () => false;
    await addFile(tar, join(folder.codexHome, 'config.toml'), 'home/.codex/config.toml');
    await addTree(tar, join(folder.codexHome, 'sessions'), 'home/.codex/sessions', keepAll);
    tar.finalize();
  })();
  filled.catch((error: Error) => tar.destroy(error));
  pipeline(tar as unknown as Readable, gzip).catch((error: Error) => gzip.destroy(error));
  return gzip;
}

async function addTree(
  tar: Pack,
  root: string,
  name: string,
  isExcluded: (path: string) => boolean,
): Promise<void> {
  const below = async (relative: string): Promise<void> => {
    const entries = await readdir(join(root, relative), { withFileTypes: true }).catch(ignoreMissing);
    for (const entry of entries ?? []) {
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (isExcluded(path)) continue;
      if (entry.isDirectory()) {
        await addFolder(tar, join(root, path), `${name}/${path}`);
        await below(path);
      } else if (entry.isSymbolicLink()) await addLink(tar, join(root, path), `${name}/${path}`);
      else if (entry.isFile()) await addFile(tar, join(root, path), `${name}/${path}`);
    }
  };
  await below('');
}

async function addFolder(tar: Pack, path: string, name: string): Promise<void> {
  const stat = await lstat(path).catch(ignoreMissing);
  if (stat) await entered(tar, { name, type: 'directory', mode: stat.mode & 0o7777, mtime: stat.mtime });
}

async function addLink(tar: Pack, path: string, name: string): Promise<void> {
  const linkname = await readlink(path).catch(ignoreMissing);
  const stat = await lstat(path).catch(ignoreMissing);
  if (linkname && stat) await entered(tar, { name, type: 'symlink', linkname, mtime: stat.mtime });
}

/** The agent may put a link or a pipe in a file's place at any moment: what is open is what is judged. */
async function addFile(tar: Pack, path: string, name: string): Promise<void> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch(ignoreMissing);
  if (!handle) return;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return;
    const header = { name, size: stat.size, mode: stat.mode & 0o7777, mtime: stat.mtime };
    await writeEntry(tar, header, handle, stat.size);
  } finally {
    await handle.close();
  }
}

function writeEntry(tar: Pack, header: Parameters<Pack['entry']>[0], handle: FileHandle, size: number) {
  return new Promise<void>((resolve, reject) => {
    const entry = tar.entry(header, (error) => (error ? reject(error) : resolve()));
    pipeline(Readable.from(exactly(handle, size), { objectMode: false }), entry).catch(reject);
  });
}

/** Exactly `size` bytes: what was cut off meanwhile is filled with zeros, what was added is left out. */
async function* exactly(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  let left = size;
  if (size > 0) {
    const content = createReadStream('', {
      fd: handle,
      autoClose: false,
      start: 0,
      end: size - 1,
      highWaterMark: READ_BYTES,
    });
    for await (const chunk of content as AsyncIterable<Buffer>) {
      left -= chunk.length;
      yield chunk;
    }
  }
  for (; left > 0; left -= Math.min(left, READ_BYTES)) yield Buffer.alloc(Math.min(left, READ_BYTES));
}

const READ_BYTES = 256 * 1024;

function entered(tar: Pack, header: Parameters<Pack['entry']>[0]): Promise<void> {
  return new Promise((resolve, reject) => {
    tar.entry(header, (error) => (error ? reject(error) : resolve()));
  });
}

/** What the agent removed or hid meanwhile is no part of the snapshot. */
function ignoreMissing(error: NodeJS.ErrnoException): null {
  if (['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EACCES'].includes(error.code ?? '')) return null;
  throw error;
}
