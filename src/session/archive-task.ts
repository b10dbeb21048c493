import { closeSync, constants, existsSync, fstatSync, openSync, read, readSync, readlinkSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { gzipBlocks } from './gzip-blocks.js';
import { codeOf, isGone, madeReadable, noneSkipped, noteSkipped, scanTree } from './scan-tree.js';
import type { Skipped, TreeEntry } from './scan-tree.js';
import { createSlices } from './slices.js';
import { excluded } from './snapshot-excludes.js';
import { END_OF_TAR, padding, tarHeader, type TarMember } from './tar-header.js';
import type { TaskFolder } from './task-folder.js';

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

/** What belongs into a snapshot of a task. */
export async function* taskEntries(
  folder: TaskFolder,
  exclude: readonly string[] | null,
  skipped: Skipped,
): AsyncGenerator<TreeEntry> {
  yield* scanTree(folder.work, 'work', excluded(exclude), skipped);
  // Codex writes both anew where they are missing, at the first start and at the first turn.
  const config = await statFile(join(folder.codexHome, 'config.toml'));
  if (config) yield { ...config, name: 'home/.codex/config.toml' };
  const sessions = join(folder.codexHome, 'sessions');
  if (existsSync(sessions)) yield* scanTree(sessions, 'home/.codex/sessions', () => false, skipped);
}

/** The tar.gz of some entries; before them, a member of the archive's own for each of `notes`. */
export function archiveOf(
  entries: AsyncIterable<TreeEntry> | Iterable<TreeEntry>,
  { onMember = () => undefined, tally = emptyTally() }: Omit<ArchiveOptions, 'exclude'>,
  notes: Readonly<Record<string, string>> = {},
): Readable {
  const tar = async function* (): AsyncGenerator<Buffer> {
    const slices = createSlices();
    const links = new Map<string, string>();
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (const [name, text] of Object.entries(notes)) yield noteMember(name, text);
    for await (const entry of entries) {
      const pause = slices.pause();
      if (pause) await pause;
      yield* memberOf(entry, { onMember, tally, links, buffer });
      if (tally.bytes > MAX_BYTES || tally.entries > MAX_ENTRIES)
        throw new Error(
          `The workdir is larger than a snapshot may be (${MAX_BYTES} bytes, ${MAX_ENTRIES} entries): exclude more`,
        );
    }
    yield END_OF_TAR;
  };
  return Readable.from(gzipBlocks(tar()));
}

interface Writing {
  readonly onMember: NonNullable<ArchiveOptions['onMember']>;
  readonly tally: ArchiveTally;
  /** The first name of each file that has several. */
  readonly links: Map<string, string>;
  /** Every file is read into it, a piece at a time. */
  readonly buffer: Buffer;
}

async function* memberOf(entry: TreeEntry, writing: Writing): AsyncGenerator<Buffer> {
  const { name, type, stat } = entry;
  const { onMember, tally } = writing;
  if (type === 'file') yield* fileMember(entry, writing);
  else if (type === 'folder') {
    onMember(name, stat, type);
    tally.entries++;
    yield tarHeader({ name, type: 'folder', size: 0n, ...timesOf(stat) });
  } else {
    const linkname = tolerant(() => readlinkSync(entry.path), name, tally.skipped);
    if (linkname === null) return;
    onMember(name, stat, type);
    tally.entries++;
    yield tarHeader({ name, type: 'symlink', linkname, size: 0n, ...timesOf(stat) });
  }
}

const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The agent may put a link or a pipe in a file's place at any moment: what is open is what is judged. */
async function* fileMember(entry: TreeEntry, writing: Writing): AsyncGenerator<Buffer> {
  const { path, name } = entry;
  const { onMember, tally, links, buffer } = writing;
  const close = madeReadable(path, entry.stat, 0, 0o400);
  try {
    const opened = tolerant(() => openSync(path, OPEN), name, tally.skipped);
    if (opened === null) return;
    try {
      const stat = fstatSync(opened, { bigint: true });
      if (!stat.isFile()) return;
      const first = stat.nlink > 1n ? linkedTo(links, stat, name) : null;
      const mode = close ? entry.stat.mode : stat.mode;
      const size = first === null ? stat.size : 0n;
      const common = { name, size, ...timesOf(stat), mode: Number(mode) & 0o7777 };
      onMember(name, close ? entry.stat : stat, 'file');
      tally.entries++;
      tally.bytes += size;
      yield tarHeader(
        first === null ? { ...common, type: 'file' } : { ...common, type: 'hardlink', linkname: first },
      );
      if (size > 0n) yield* contentOf(opened, size, buffer);
    } finally {
      closeSync(opened);
    }
  } finally {
    close?.();
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
const READ_BYTES = 1024 * 1024;
const readAt = promisify(read);

/** Exactly `size` bytes: what was cut off meanwhile is filled with zeros, what was added is left out. */
async function* contentOf(opened: number, size: bigint, buffer: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0n; at < size;) {
    const wanted = Math.min(buffer.length, Number(size - at));
    const place = { buffer, offset: 0, length: wanted, position: at };
    const bytesRead =
      size <= SMALL_BYTES ? readSync(opened, buffer, 0, wanted, at) : (await readAt(opened, place)).bytesRead;
    if (bytesRead === 0) buffer.fill(0);
    const taken = bytesRead === 0 ? wanted : bytesRead;
    yield buffer.subarray(0, taken);
    at += BigInt(taken);
  }
  yield padding(size);
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

async function statFile(path: string): Promise<Pick<TreeEntry, 'path' | 'type' | 'stat'> | null> {
  const stat = await lstat(path, { bigint: true }).catch(() => null);
  return stat?.isFile() ? { path, type: 'file', stat } : null;
}
