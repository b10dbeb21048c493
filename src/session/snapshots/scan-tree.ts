import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  type BigIntStats,
} from 'node:fs';

/** Something below a folder that belongs into an archive. */
export interface TreeEntry {
  /** Where it lies. */
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
}

const MAX_NAMED = 20;

export const noneSkipped = (): Skipped => ({ count: 0, first: [] });

export function noteSkipped(skipped: Skipped, name: string, why: string): void {
  skipped.count++;
  if (skipped.first.length < MAX_NAMED) skipped.first.push({ name, why });
}

/**
 * Everything below `root`, folders before what is in them; null for what is left out, so that whoever walks can
 * pause there too. What goes away meanwhile is left out. A folder that its owner may not read is opened for as
 * long as it is walked.
 * @param name of `root` in the archive; it is not yielded itself
 * @throws the system's error when `root` is missing: an empty snapshot must not take the place of a good one
 */
export function* scanTree(
  root: string,
  name: string,
  isExcluded: (path: string) => boolean,
  skipped: Skipped,
): Generator<TreeEntry | null> {
  const below = function* (folder: string, relative: string): Generator<TreeEntry | null> {
    for (const entry of namesIn(folder, relative === '' ? 'must' : 'may')) {
      const inside = relative === '' ? entry : `${relative}/${entry}`;
      const path = `${folder}/${entry}`;
      const member = `${name}/${inside}`;
      const stat = isExcluded(inside) ? null : statOf(path, member, skipped);
      const type = stat && typeOf(stat);
      if (stat && !type) noteSkipped(skipped, member, 'a socket, pipe or device');
      yield stat && type && { path, name: member, type, stat };
      if (!stat || type !== 'folder') continue;
      const close = madeReadable(path, stat, constants.O_DIRECTORY, 0o500);
      try {
        yield* below(path, inside);
      } catch (error) {
        if (!isGone(error)) throw error;
        noteSkipped(skipped, member, codeOf(error));
      } finally {
        close?.();
      }
    }
  };
  yield* below(root, '');
}

function namesIn(folder: string, presence: 'must' | 'may'): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (presence === 'may' && ['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return [];
    throw error;
  }
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

/**
 * Gives the owner the rights that reading needs, where they are missing, and returns what takes them back;
 * null where nothing was done. Whoever swaps the path for a link meanwhile gets no other file's rights changed
 * back: the descriptor decides.
 */
export function madeReadable(
  path: string,
  stat: BigIntStats,
  flags: number,
  rights: number,
): (() => void) | null {
  const mode = Number(stat.mode) & 0o7777;
  if ((mode & rights) === rights || process.geteuid?.() === 0) return null;
  try {
    chmodSync(path, mode | rights);
    const opened = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | flags);
    const now = fstatSync(opened, { bigint: true });
    if (now.ino === stat.ino && now.dev === stat.dev)
      return () => {
        fchmodSync(opened, mode);
        closeSync(opened);
      };
    closeSync(opened);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return null;
}

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

/** What the agent removed, hid or made unreachable is no reason to lose the rest. */
export const isGone = (error: unknown): boolean =>
  ['ENOENT', 'ELOOP', 'ENOTDIR', 'ENXIO', 'EACCES', 'EPERM', 'ENAMETOOLONG'].includes(codeOf(error));
