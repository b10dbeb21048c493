import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';

/** Held until `release`, or until its process ends in whatever way. */
export interface FolderLock {
  release(): void;
}

/**
 * Takes the one lock of this name on a folder, as an OFD lock on the file `<name>.lock` in it. The kernel keeps it for
 * the file, so it holds between containers, namespaces and versions of Node that share the folder, and takes it back
 * when its owner ends. Null when another process has it.
 */
export function lockFolder(path: string, name: string): FolderLock | null {
  // A number, not a FileHandle: that one would be closed, and the lock lost, by the garbage collector.
  const fd = openSync(join(path, `${name}.lock`), 'a', 0o600);
  try {
    if (tryLock(fd)) return { release: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return null;
}
