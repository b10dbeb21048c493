import { closeSync, fstatSync, lstatSync, opendirSync, type BigIntStats } from 'node:fs';
import { TaskError } from '../errors.js';
import { codeOf, inFolder, openFolder, openToRead, type Opened } from '../workdir/descriptors.js';

/** Something below a folder that belongs into an archive. */
export interface TreeEntry {
  /** Where it lies, by the open folder that it is in: until the walk continues. */
  readonly path: string;
  /** Its name in the archive. */
  readonly name: string;
  readonly type: 'file' | 'folder' | 'symlink';
  readonly stat: BigIntStats;
}

/** What could not be taken, and why: the first of them by name. */
export interface Skipped {
  count: number;
  readonly first: { name: string; why: string }[];
  /** Patterns of the task that nothing fits, once all of the workdir was walked. */
  unfit?: readonly string[];
}

const MAX_NAMED = 20;

export const noneSkipped = (): Skipped => ({ count: 0, first: [] });

export function noteSkipped(skipped: Skipped, name: string, why: string): void {
  skipped.count++;
  if (skipped.first.length < MAX_NAMED) skipped.first.push({ name, why });
}

/**
 * Everything below `root`, folders before what is in them; null for what is left out, so that whoever walks can
 * pause there too. What goes away meanwhile is left out. Goes by descriptors: a link that somebody puts in a folder's
 * place meanwhile is never followed. A folder that its owner may not read is opened for as long as it is walked.
 * @param name of `root` in the archive; it is not yielded itself
 * @throws the system's error when `root` is missing: an empty snapshot must not take the place of a good one; TaskError
 * `BadInput` when one folder has more than `maxNames`
 */
export function* scanTree(
  root: string,
  name: string,
  isExcluded: (path: string) => boolean,
  skipped: Skipped,
  maxNames: number = MAX_NAMES,
): Generator<TreeEntry | null> {
  const room = MAX_PATH_BYTES - Math.max(Buffer.byteLength(root), RESTORE_BYTES);
  const below = function* (level: Level, relative: string): Generator<TreeEntry | null> {
    const place = relative === '' ? name : `${name}/${relative}`;
    for (const entry of yield* namesIn(`/proc/self/fd/${fdOf(level)}`, place, maxNames)) {
      const inside = relative === '' ? entry : `${relative}/${entry}`;
      const member = `${name}/${inside}`;
      if (isExcluded(inside)) {
        yield null;
        continue;
      }
      const path = inFolder(fdOf(level), entry);
      if (Buffer.byteLength(inside) > room) noteSkipped(skipped, member, 'ENAMETOOLONG');
      const stat = Buffer.byteLength(inside) > room ? null : statOf(path, member, skipped);
      const type = stat && typeOf(stat);
      if (stat && !type) noteSkipped(skipped, member, 'a socket, pipe or device');
      const inner = type === 'folder' ? openLevel(level, entry, member, skipped) : null;
      try {
        yield stat && type && { path, name: member, type, stat: inner?.stat ?? stat };
        if (inner) yield* below(inner, inside);
      } catch (error) {
        if (!isGone(error)) throw error;
        noteSkipped(skipped, member, codeOf(error));
      } finally {
        if (inner) leave(inner);
      }
    }
  };
  const top: Level = { parent: null, name: '', depth: 0, opened: openedRoot(root), stat: null };
  try {
    yield* below(top, '');
  } finally {
    leave(top);
  }
}

/** Names that are read at once: about a millisecond. */
const NAMES_AT_ONCE = 1_000;
/** More are in the order of the disk: to sort a million takes a second. */
const MAX_SORTED = 10_000;

/**
 * Of one folder: as many as a snapshot may have entries. All are read before the first is looked at, since some systems
 * tell a name twice that is made again meanwhile, and are in memory: 200 bytes each.
 */
const MAX_NAMES = 5_000_000;

/** The names in a folder; null after some of them, as for `scanTree`. */
function* namesIn(path: string, what: string, maxNames: number): Generator<null, string[]> {
  const folder = opendirSync(path, { bufferSize: NAMES_AT_ONCE });
  const names: string[] = [];
  try {
    for (let entry = folder.readSync(); entry; entry = folder.readSync()) {
      names.push(entry.name);
      if (names.length > maxNames)
        throw new TaskError(
          'BadInput',
          `${what} has over ${maxNames} names, more than a snapshot may: remove them or name it in snapshot.exclude`,
        );
      if (names.length % NAMES_AT_ONCE === 0) yield null;
    }
  } finally {
    folder.closeSync();
  }
  return names.length > MAX_SORTED ? names : names.sort();
}

/** A folder on the way to where a walk is. */
interface Level {
  readonly parent: Level | null;
  readonly name: string;
  readonly depth: number;
  /** Null: closed, since too many lie deeper. */
  opened: Pick<Opened, 'fd' | 'isLent' | 'close'> | null;
  readonly stat: BigIntStats | null;
}

/** Folders open at a time. */
const MAX_OPEN = 64;
/** What lies deeper has a path that no program can name: PATH_MAX of Linux without the NUL and a slash. */
const MAX_PATH_BYTES = 4_094;
/** Kept for the folder into which a host restores it, of whatever name and in whatever data folder. */
const RESTORE_BYTES = 512;

function openedRoot(root: string): NonNullable<Level['opened']> {
  const fd = openFolder(root);
  return { fd, isLent: false, close: () => closeSync(fd) };
}

/** Null: it is none any more, or cannot be opened. */
function openLevel(parent: Level, name: string, member: string, skipped: Skipped): Level | null {
  try {
    const opened = openToRead(inFolder(fdOf(parent), name), 'folder');
    const level = { parent, name, depth: parent.depth + 1, opened, stat: opened.stat };
    letGo(level);
    return level;
  } catch (error) {
    if (!isGone(error)) throw error;
    if (codeOf(error) !== 'ENOENT') noteSkipped(skipped, member, codeOf(error));
    return null;
  }
}

function letGo(level: Level): void {
  let far: Level | null = level;
  for (let i = 0; far && i < MAX_OPEN; i++) far = far.parent;
  // The root is what all others are found by again; rights that were given are taken back by the descriptor.
  if (!far?.parent || !far.opened || far.opened.isLent) return;
  far.opened.close();
  far.opened = null;
}

function leave(level: Level): void {
  level.opened?.close();
  level.opened = null;
}

/** @throws an error with the code `ENOENT` when the folder is not where it was */
function fdOf(level: Level): number {
  if (level.opened) return level.opened.fd;
  const way: Level[] = [];
  let from: Level = level;
  for (; !from.opened; from = from.parent!) way.push(from);
  let fd = from.opened.fd;
  for (const next of way.reverse()) {
    const before = fd;
    try {
      fd = openFolder(inFolder(before, next.name));
    } finally {
      if (next !== way[0]) closeSync(before);
    }
  }
  const now = fstatSync(fd, { bigint: true });
  if (now.ino !== level.stat?.ino || now.dev !== level.stat.dev) {
    closeSync(fd);
    throw Object.assign(new Error('It was moved'), { code: 'ENOENT' });
  }
  level.opened = { fd, isLent: false, close: () => closeSync(fd) };
  return fd;
}

function statOf(path: string, member: string, skipped: Skipped): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (!isGone(error)) throw error;
    // A name that is no UTF-8 comes with U+FFFD in it and leads nowhere.
    if (codeOf(error) !== 'ENOENT') noteSkipped(skipped, member, codeOf(error));
    else if (member.includes('\uFFFD')) noteSkipped(skipped, member, 'its name is no UTF-8');
    return null;
  }
}

function typeOf(stat: BigIntStats): TreeEntry['type'] | null {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'folder';
  return stat.isSymbolicLink() ? 'symlink' : null;
}

/** What the agent removed, hid or made unreachable is no reason to lose the rest. */
export const isGone = (error: unknown): boolean => GONE.has(codeOf(error));

/** `EINVAL`: of another type than it was. */
const GONE = new Set(['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EACCES', 'EPERM', 'ENAMETOOLONG', 'EINVAL']);
