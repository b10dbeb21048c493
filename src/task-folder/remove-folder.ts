import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  opendirSync,
  openSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { setImmediate as whenIdle } from 'node:timers/promises';

/**
 * Removes a folder with all that is in it, what is read-only too; one that is not there is no error. Goes by
 * descriptors: a link that somebody puts in a folder's place meanwhile is removed, never followed, and no depth is too
 * much. Holds the event loop for a few milliseconds at a time.
 * @throws the system's error for what cannot be removed
 */
export async function removeFolder(path: string): Promise<void> {
  const parent = tolerateAbsence(() => openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY));
  if (parent === null) return;
  try {
    await removeBelow(parent, Buffer.from(basename(path)));
  } finally {
    closeSync(parent);
  }
}

/** Folders open at a time. What lies deeper is first moved up. */
const MAX_DEPTH = 100;
const SLICE_MS = 4;
/** open(2): names a file without opening it, so that its owner may change the rights that keep it from being read. */
const O_PATH = 0x200000;

interface Removal {
  readonly root: number;
  /** Names below `root` of what lay too deep. */
  readonly raised: Buffer[];
  count: number;
  sliceBegan: number;
}

async function removeBelow(parent: number, name: Buffer): Promise<void> {
  const root = openFolder(parent, name);
  if (root === null) return;
  const removal: Removal = { root, raised: [], count: 0, sliceBegan: performance.now() };
  await removeOpened(root, parent, name, async () => {
    await empty(root, 1, removal);
    for (let next = removal.raised.pop(); next; next = removal.raised.pop())
      await removeEntry(root, next, 1, removal);
  });
}

/** How often a folder is emptied that somebody fills again. */
const TRIES = 5;

async function removeOpened(
  opened: number,
  parent: number,
  name: Buffer,
  run: () => Promise<void>,
): Promise<void> {
  try {
    for (let tries = 1; ; tries++) {
      await run();
      try {
        return rmdirSync(below(parent, name));
      } catch (error) {
        if (codeOf(error) !== 'ENOTEMPTY' || tries === TRIES) throw error;
      }
    }
  } finally {
    closeSync(opened);
  }
}

async function empty(folder: number, depth: number, removal: Removal): Promise<void> {
  const entries = opendirSync(`/proc/self/fd/${folder}`, {
    encoding: 'buffer' as BufferEncoding,
    bufferSize: 256,
  });
  try {
    for (let entry = entries.readSync(); entry; entry = entries.readSync()) {
      const name = entry.name as unknown as Buffer;
      const isRaised = folder === removal.root && removal.raised.some((each) => each.equals(name));
      if (!isRaised) await removeEntry(folder, name, depth, removal);
    }
  } finally {
    entries.closeSync();
  }
}

async function removeEntry(folder: number, name: Buffer, depth: number, removal: Removal): Promise<void> {
  if (performance.now() - removal.sliceBegan > SLICE_MS) {
    await whenIdle();
    removal.sliceBegan = performance.now();
  }
  if (unlink(folder, name)) return;
  if (depth > MAX_DEPTH) return raise(folder, name, removal);
  const opened = openFolder(folder, name);
  if (opened !== null) await removeOpened(opened, folder, name, () => empty(opened, depth + 1, removal));
}

/** False: it is a folder. */
function unlink(folder: number, name: Buffer): boolean {
  for (let isWritable = false; ; isWritable = true)
    try {
      unlinkSync(below(folder, name));
      return true;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT') return true;
      if (code === 'EISDIR' || code === 'EPERM') return false;
      if (code !== 'EACCES' || isWritable) throw error;
      fchmodSync(folder, 0o700);
    }
}

function raise(folder: number, name: Buffer, removal: Removal): void {
  for (;;) {
    const raised = Buffer.from(`.removed-${process.pid}-${removal.count++}`);
    try {
      renameSync(below(folder, name), below(removal.root, raised));
      removal.raised.push(raised);
      return;
    } catch (error) {
      // Somebody gave that name to something.
      if (!['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(codeOf(error))) throw error;
    }
  }
}

/** Null: it is not there. */
function openFolder(parent: number, name: Buffer): number | null {
  const path = below(parent, name);
  const open = () => openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  return tolerateAbsence(() => {
    try {
      return open();
    } catch (error) {
      if (codeOf(error) !== 'EACCES') throw error;
      const named = openSync(path, O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        chmodSync(`/proc/self/fd/${named}`, 0o700);
      } finally {
        closeSync(named);
      }
      return open();
    }
  });
}

function tolerateAbsence<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

const below = (folder: number, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`/proc/self/fd/${folder}/`), name]);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';
