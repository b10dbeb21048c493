import { chmodSync, closeSync, constants, fchmodSync, fstatSync, mkdirSync, openSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** open(2): names something without opening it, so that its owner may change the rights that keep it from being read. */
const O_PATH = 0x200000;

/** Where an entry of an open folder lies, whatever is put in the folder's place meanwhile. */
export const inFolder = (folder: number, name: string): string => `/proc/self/fd/${folder}/${name}`;

/** Opens a folder; a link in its place is no folder. @throws the system's error, `ENOTDIR` for a link */
export const openFolder = (path: string): number => openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

/**
 * Opens the folder below `root` that `names` lead to, one after the other and through no link, and makes those that
 * are missing.
 * @throws the system's error, `ENOTDIR` where one of them is no folder
 */
export function openBelow(root: number, names: readonly string[], mode: number): number {
  let folder = openFolder(inFolder(root, '.'));
  for (const name of names) {
    try {
      const next = madeFolder(inFolder(folder, name), mode);
      closeSync(folder);
      folder = next;
    } catch (error) {
      closeSync(folder);
      throw error;
    }
  }
  return folder;
}

function madeFolder(path: string, mode: number): number {
  try {
    return openFolder(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  try {
    mkdirSync(path, mode);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  return openFolder(path);
}

/** A file or folder that is open for reading. */
export interface Opened {
  readonly fd: number;
  /** As it was before its rights were changed. */
  readonly stat: BigIntStats;
  /** Whether `close` has rights to take back. */
  readonly isLent: boolean;
  readonly close: () => void;
}

/**
 * Opens a file or folder, never what a link leads to, and waits for no pipe. Where its owner lacks the rights to read
 * it, they are given until it is closed, to what is open and to nothing else.
 * @throws the system's error; `ENOTDIR` or `EINVAL` when it is of another type
 */
export function openToRead(path: string, type: 'file' | 'folder'): Opened {
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | (type === 'folder' ? O_DIRECTORY : 0);
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (error) {
    if (codeOf(error) !== 'EACCES') throw error;
    return openLent(path, type);
  }
  try {
    return opened(fd, typed(fd, type), type);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openLent(path: string, type: 'file' | 'folder'): Opened {
  const named = openSync(path, O_PATH | O_NOFOLLOW);
  try {
    const stat = typed(named, type);
    const self = `/proc/self/fd/${named}`;
    chmodSync(self, modeOf(stat) | RIGHTS[type]);
    return opened(openSync(self, O_RDONLY | O_NONBLOCK), stat, type, true);
  } finally {
    closeSync(named);
  }
}

function opened(fd: number, stat: BigIntStats, type: 'file' | 'folder', wasLent = false): Opened {
  const lacks = (modeOf(stat) & RIGHTS[type]) !== RIGHTS[type] && process.geteuid?.() !== 0;
  const isLent = wasLent || (lacks && type === 'folder' && changed(fd, modeOf(stat) | RIGHTS[type]));
  const close = () => {
    if (isLent) changed(fd, modeOf(stat));
    closeSync(fd);
  };
  return { fd, stat, isLent, close };
}

/** False: it is another user's. */
function changed(fd: number, mode: number): boolean {
  try {
    fchmodSync(fd, mode);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EPERM') return false;
    throw error;
  }
}

function typed(fd: number, type: 'file' | 'folder'): BigIntStats {
  const stat = fstatSync(fd, { bigint: true });
  if (type === 'file' ? stat.isFile() : stat.isDirectory()) return stat;
  throw Object.assign(new Error(`It is no ${type}`), { code: 'EINVAL' });
}

/** What the owner needs to read it, and to find what is in it. */
const RIGHTS = { file: 0o400, folder: 0o500 };

const modeOf = ({ mode }: BigIntStats): number => Number(mode) & 0o7777;

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
