import {
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  mkdirSync,
  openSync,
  write,
  writeSync,
} from 'node:fs';
import { chmod, link, lstat, lutimes, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { extract, type Header } from 'tar-stream';
import { gunzipBlocks } from './gunzip-blocks.js';
import { createSlices } from './slices.js';

/** What an archive may bring. */
export interface UnpackLimits {
  /** Bytes of content. */
  readonly bytes: number;
  readonly entries: number;
  /** Content relative to the archive's own bytes; null: the archive's maker has told how much it holds. */
  readonly ratio: number | null;
}

/** Archives that are unpacked into one folder, newest first: what one brought, the ones after it do not. */
export interface Unpacking {
  readonly limits: UnpackLimits;
  /** Where a member of that type goes; null leaves it out. Throws for a name that leads outside. */
  place(name: string, type: Header['type']): string | null;
  /** A member that is no file of the folder, by name: its text goes there. */
  readonly notes: ReadonlyMap<string, (text: string) => void>;
  readonly taken: Set<string>;
  readonly links: { path: string; target: string; mtime: FileTime }[];
  readonly hardLinks: { path: string; target: string }[];
  readonly folders: { path: string; mode: number; mtime: FileTime }[];
  bytes: number;
  entries: number;
}

export const newUnpacking = (
  place: Unpacking['place'],
  limits: UnpackLimits,
  notes: Unpacking['notes'] = new Map(),
): Unpacking => ({
  limits,
  place,
  notes,
  taken: new Set(),
  links: [],
  hardLinks: [],
  folders: [],
  bytes: 0,
  entries: 0,
});

/** A bomb is told from a small archive of zeros by what it would fill. */
const RATIO_FROM_BYTES = 64 * 1024 * 1024;
const MAX_NOTE_BYTES = 64 * 1024 * 1024;

/**
 * Unpacks one tar.gz in bounded memory. Nothing in it can reach outside: files and all folders, those of links too, are
 * made where nothing is yet, links only by `finishUnpacking`, which makes no folder: so none is there to be followed.
 */
export async function unpackArchive(bytes: AsyncIterable<Buffer>, unpacking: Unpacking): Promise<void> {
  let packed = 0;
  const counted = async function* () {
    for await (const chunk of bytes) {
      packed += chunk.length;
      yield chunk;
    }
  };
  const count = (size: number) => {
    const { limits } = unpacking;
    unpacking.bytes += size;
    if (++unpacking.entries > limits.entries) throw new Error(`it has more than ${limits.entries} entries`);
    if (unpacking.bytes > limits.bytes) throw new Error(`it holds more than ${limits.bytes} bytes`);
  };
  /** Every few bytes of content, since one file alone may be the bomb. */
  let written = 0;
  const watch = (length: number) => {
    const { ratio } = unpacking.limits;
    written += length;
    if (ratio !== null && written > RATIO_FROM_BYTES && written > ratio * packed)
      throw new Error(`it unpacks to more than ${ratio} times its own size`);
  };
  const tar = extract();
  const feeding = pipeline(Readable.from(gunzipBlocks(counted())), tar as unknown as NodeJS.WritableStream);
  feeding.catch(() => undefined);
  const here = new Set<string>();
  const slices = createSlices();
  try {
    for await (const entry of tar) {
      const pause = slices.pause();
      if (pause) await pause;
      const { header } = entry;
      const content = entry as unknown as AsyncIterable<Buffer>;
      const note = unpacking.notes.get(header.name);
      // tar-stream (3.2) never ends the content of such a one.
      if (header.type === 'directory' && header.size !== 0)
        throw new Error(`a folder in it has content: ${shown(header)}`);
      count(note ? 0 : (header.size ?? 0));
      if (note) note(await textOf(content, header.size ?? 0));
      else await takeMember(content, header, unpacking, here, watch);
    }
  } catch (error) {
    tar.destroy();
    throw error;
  }
  await feeding;
  for (const name of here) unpacking.taken.add(name);
}

async function takeMember(
  content: AsyncIterable<Buffer>,
  header: Header,
  unpacking: Unpacking,
  here: Set<string>,
  watch: (length: number) => void,
): Promise<void> {
  const path = unpacking.place(header.name, header.type);
  if (path === null || unpacking.taken.has(path)) return drain(content, watch);
  here.add(path);
  const mtime = mtimeOf(header);
  if (header.type === 'file' || header.type === 'contiguous-file') {
    // The bits that lend a user's rights to whoever runs the file are not restored.
    return writeFile(content, path, (header.mode ?? 0o644) & 0o777, mtime, watch);
  }
  await drain(content, watch);
  if (header.type === 'directory') {
    makeFolder(path);
    unpacking.folders.push({ path, mode: (header.mode ?? 0o755) & 0o1777, mtime });
  } else if (header.type === 'symlink' && header.linkname) {
    // A folder that is made here where a link is to be, keeps that link from being made.
    makeFolder(dirname(path));
    unpacking.links.push({ path, target: header.linkname, mtime });
  } else if (header.type === 'link' && header.linkname) {
    const target = unpacking.place(header.linkname, header.type);
    if (target === null)
      throw new Error(`a hard link in it leads to what it does not hold: ${shown(header)}`);
    makeFolder(dirname(path));
    unpacking.hardLinks.push({ path, target });
  } else if (header.type !== 'fifo')
    throw new Error(`it holds a ${header.type ?? 'thing of unknown kind'}: ${shown(header)}`);
}

const shown = ({ name }: Header): string => JSON.stringify(name);

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Up to this length a write into the system's cache is sooner done than handed to a thread. */
const SMALL_BYTES = 256 * 1024;
const writeAt = promisify(write);
/** Zeros of at least this length become a hole. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

async function writeFile(
  content: AsyncIterable<Buffer>,
  path: string,
  mode: number,
  mtime: FileTime,
  watch: (length: number) => void,
): Promise<void> {
  const opened = create(path);
  try {
    let size = 0;
    let filled = 0;
    for await (const chunk of content) {
      watch(chunk.length);
      if (!isHole(chunk)) {
        for (let at = 0; at < chunk.length;)
          at +=
            chunk.length <= SMALL_BYTES
              ? writeSync(opened, chunk, at, chunk.length - at, size + at)
              : (await writeAt(opened, chunk, at, chunk.length - at, size + at)).bytesWritten;
        filled = size + chunk.length;
      }
      size += chunk.length;
    }
    if (filled < size) ftruncateSync(opened, size);
    fchmodSync(opened, mode);
    futimesSync(opened, mtime, mtime);
  } finally {
    closeSync(opened);
  }
}

const isHole = (chunk: Buffer): boolean =>
  chunk.length >= HOLE_BYTES &&
  chunk[0] === 0 &&
  chunk.subarray(0, HOLE_BYTES).equals(ZEROS) &&
  chunk.subarray(HOLE_BYTES).equals(chunk.subarray(0, -HOLE_BYTES));

function create(path: string): number {
  try {
    return openSync(path, CREATE, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    makeFolder(dirname(path));
    return openSync(path, CREATE, 0o600);
  }
}

const makeFolder = (path: string): void => void mkdirSync(path, { recursive: true, mode: 0o700 });

/** What only can be made when all else is there: links, and the rights and times of folders. */
export async function finishUnpacking({ hardLinks, links, folders }: Unpacking): Promise<void> {
  for (const { path, target } of hardLinks) {
    // No symlink exists yet, so the target is what was unpacked here.
    if (!(await lstat(target)).isFile()) throw new Error('a hard link in it leads to what is no file');
    await link(target, path);
  }
  for (const { path, target, mtime } of links) {
    await symlink(target, path);
    await lutimes(path, mtime, mtime);
  }
  // From the inside out: filling a folder changes its time, and a closed one lets nobody in.
  for (const { path, mode, mtime } of folders.sort((a, b) => (a.path < b.path ? 1 : -1))) {
    if (!(await lstat(path)).isDirectory()) continue;
    await utimes(path, mtime, mtime);
    await chmod(path, mode);
  }
}

type FileTime = number | Date;

/** Seconds since the epoch, of which the extended header has fractions; a date before it, since Node takes a negative number for now. */
function mtimeOf({ mtime, pax }: Header): FileTime {
  const { mtime: exact } = (pax ?? {}) as { mtime?: string };
  const given = exact === undefined ? NaN : Number(exact);
  const seconds = Number.isFinite(given) ? given : (mtime?.getTime() ?? 0) / 1000;
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
}

async function drain(content: AsyncIterable<Buffer>, watch: (length: number) => void): Promise<void> {
  for await (const chunk of content) watch(chunk.length);
}

async function textOf(content: AsyncIterable<Buffer>, size: number): Promise<string> {
  if (size > MAX_NOTE_BYTES) throw new Error('a list in it is longer than any may be');
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** The path below `folder` for a member's plain name. @throws Error for a name that leads outside */
export function insideOf(folder: string, name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0'))
    throw new Error(`a name in it leads outside: ${JSON.stringify(name)}`);
  return join(folder, ...parts);
}
