import { read, readSync, readlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { TaskError } from '../errors.js';
import { createGzipBlocks, type GzipBlocks } from './gzip-blocks.js';
import { codeOf, openToRead } from '../workdir/descriptors.js';
import { isGone, noneSkipped, noteSkipped } from './scan-tree.js';
import type { Skipped, TreeEntry } from './scan-tree.js';
import { createSlices } from './slices.js';
import { taskEntries } from './task-entries.js';
import { END_OF_TAR, padding, tarHeader, type TarMember } from './tar-header.js';
import type { TaskFolder } from '../task-folder/task-folder.js';

/** What an archive may hold at most: a restore refuses more. Bytes of content, and members. */
export const MAX_BYTES = 64n * 1024n ** 3n;
export const MAX_ENTRIES = 5_000_000;

/** What is known of an archive once all of it was read. */
export interface ArchiveTally {
  bytes: bigint;
  entries: number;
  readonly skipped: Skipped;
}

export interface ArchiveOptions {
  /** Patterns on paths below `work`; null: the usual ones. */
  readonly exclude: readonly string[] | null;
  /** Told of each member and of what it was when it was read. */
  readonly onMember?: (name: string, stat: BigIntStats, type: TreeEntry['type']) => void;
  readonly tally?: ArchiveTally;
}

export const emptyTally = (): ArchiveTally => ({ bytes: 0n, entries: 0, skipped: noneSkipped() });

/**
 * A task's workdir and codex's own record of the conversation as a tar.gz stream: `work/…`,
 * `home/.codex/config.toml`, `home/.codex/sessions/…`. Never a credential and no sqlite, which names absolute
 * paths. Folders, links, modes and times are kept; sockets, pipes and devices are left out. A file that
 * changes while it is read is stored as long as it was at the start.
 */
export function archiveTask(folder: TaskFolder, options: ArchiveOptions): Readable {
  const { tally = emptyTally() } = options;
  return archiveOf(taskEntries(folder, options.exclude, tally.skipped), { ...options, tally });
}

/** The tar.gz of some entries; before them, a member of the archive's own for each of `notes`. */
export function archiveOf(
  entries: Iterable<TreeEntry | null>,
  { onMember = () => undefined, tally = emptyTally() }: Omit<ArchiveOptions, 'exclude'>,
  notes: Readonly<Record<string, string>> = {},
): Readable {
  const archive = async function* (): AsyncGenerator<Buffer> {
    const slices = createSlices();
    const blocks = createGzipBlocks();
    const writing: Writing = { onMember, tally, links: new Map(), blocks };
    for (const [name, text] of Object.entries(notes)) blocks.add(noteMember(name, text));
    for (const entry of entries) {
      const pause = slices.pause();
      if (pause) await pause;
      if (!entry) continue;
      const large = addMember(entry, writing);
      // Before its content is read: a hole of terabytes takes hours to read and no room on a disk.
      if (tally.bytes > MAX_BYTES || tally.entries > MAX_ENTRIES) {
        large?.close();
        throw new TaskError(
          'BadInput',
          `With ${entry.name} the workdir is larger than a snapshot may be (${MAX_BYTES} bytes, ${MAX_ENTRIES} entries): ` +
            'remove it or name it in snapshot.exclude',
        );
      }
      if (large) yield* addLarge(large, blocks);
      while (blocks.isFull) yield* await blocks.next()!;
    }
    blocks.add(END_OF_TAR);
    blocks.end();
    for (let next = blocks.next(); next; next = blocks.next()) yield* await next;
  };
  return Readable.from(archive());
}

interface Writing {
  readonly onMember: NonNullable<ArchiveOptions['onMember']>;
  readonly tally: ArchiveTally;
  /** The first name of each file that has several. */
  readonly links: Map<string, string>;
  readonly blocks: GzipBlocks;
}

/** A file of which only the header is written. */
interface LargeFile {
  readonly size: bigint;
  readonly opened: number;
  readonly close: () => void;
}

/** Writes a member, but for the content of a large file: that one is returned, open. */
function addMember(entry: TreeEntry, writing: Writing): LargeFile | null {
  const { name, type, stat } = entry;
  const { onMember, tally, blocks } = writing;
  if (type === 'file') return addFile(entry, writing);
  const linkname =
    type === 'symlink' ? tolerant(() => readlinkSync(entry.path), name, tally.skipped) : undefined;
  if (linkname === null) return null;
  onMember(name, stat, type);
  tally.entries++;
  blocks.add(
    tarHeader({ name, type, size: 0n, ...timesOf(stat), ...(linkname !== undefined && { linkname }) }),
  );
  return null;
}

/** The agent may put a link or a pipe in a file's place at any moment: what is open is what is judged. */
function addFile(entry: TreeEntry, writing: Writing): LargeFile | null {
  const { path, name } = entry;
  const { onMember, tally, links, blocks } = writing;
  const opened = tolerant(() => openToRead(path, 'file'), name, tally.skipped);
  if (opened === null) return null;
  const { fd, stat, close } = opened;
  let large: LargeFile | null = null;
  try {
    const isOfWork = name.startsWith('work/');
    // What lies in codex's home is no other name of what commands can write.
    const first = stat.nlink > 1n && isOfWork ? linkedTo(links, stat, name) : null;
    const size = first === null ? stat.size : 0n;
    const common = { name, size, ...timesOf(stat) };
    onMember(name, stat, 'file');
    tally.entries++;
    tally.bytes += size;
    blocks.add(
      tarHeader(
        first === null ? { ...common, type: 'file' } : { ...common, type: 'hardlink', linkname: first },
      ),
    );
    if (size > SMALL_BYTES) large = { opened: fd, size, close };
    else addSmall(fd, Number(size), blocks);
    return large;
  } finally {
    if (!large) close();
  }
}

/** The name under which the archive has this file already; null: it has not. */
function linkedTo(links: Map<string, string>, stat: BigIntStats, name: string): string | null {
  const key = `${stat.dev}:${stat.ino}`;
  const first = links.get(key);
  if (first !== undefined) return first;
  links.set(key, name);
  return null;
}

/** Up to this length the system's cache answers sooner than a thread of libuv's. */
const SMALL_BYTES = 128 * 1024;
const readAt = promisify(read);

/** Exactly `size` bytes: what was cut off meanwhile is filled with zeros, what was added is left out. */
function addSmall(opened: number, size: number, blocks: GzipBlocks): void {
  for (let at = 0; at < size;) {
    const room = blocks.room(size - at);
    const bytesRead = readSync(opened, room, 0, room.length, at);
    at += addRead(bytesRead, room, blocks);
  }
  blocks.add(padding(BigInt(size)));
}

async function* addLarge({ opened, size, close }: LargeFile, blocks: GzipBlocks): AsyncGenerator<Buffer> {
  try {
    for (let at = 0n; at < size;) {
      const left = size - at;
      const room = blocks.room(left > MAX_READ ? Number(MAX_READ) : Number(left));
      const place = { buffer: room, offset: 0, length: room.length, position: at };
      at += BigInt(addRead((await readAt(opened, place)).bytesRead, room, blocks));
      while (blocks.isFull) yield* await blocks.next()!;
    }
    blocks.add(padding(size));
  } finally {
    close();
  }
}

const MAX_READ = 1024n * 1024n;

function addRead(bytesRead: number, room: Buffer, blocks: GzipBlocks): number {
  if (bytesRead === 0) room.fill(0);
  const taken = bytesRead === 0 ? room.length : bytesRead;
  blocks.filled(taken);
  return taken;
}

function noteMember(name: string, text: string): Buffer {
  const body = Buffer.from(text);
  const size = BigInt(body.length);
  const header = tarHeader({ name, type: 'file', size, mode: 0o600, mtimeNs: 0n });
  return Buffer.concat([header, body, padding(size)]);
}

const timesOf = (stat: BigIntStats): Pick<TarMember, 'mode' | 'mtimeNs'> => ({
  mode: Number(stat.mode) & 0o7777,
  mtimeNs: stat.mtimeNs,
});

function tolerant<T>(run: () => T, name: string, skipped: Skipped): T | null {
  try {
    return run();
  } catch (error) {
    if (!isGone(error)) throw error;
    if (codeOf(error) !== 'ENOENT') noteSkipped(skipped, name, codeOf(error));
    return null;
  }
}
