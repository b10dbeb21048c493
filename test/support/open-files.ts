import type { EventEmitter } from 'node:events';
import fs, { type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { afterAll } from 'vitest';

/** What `open` of `node:fs/promises` opened in this process and nobody closed, with who asked. */
type Opened = Map<FileHandle, string>;

/** Of the process: this module is loaded again for each of the test files that share one. */
const watched = fs as { opened?: Opened };
const opened = (watched.opened ??= watchOpen());

function watchOpen(): Opened {
  const found: Opened = new Map();
  const { open } = fs;
  fs.open = async (...args: Parameters<typeof open>) => {
    const caller = new Error('opened').stack ?? '';
    const handle = await open(...args);
    found.set(handle, `${String(args[0])}\n${caller.split('\n').slice(2, 8).join('\n')}`);
    const asEmitter: unknown = handle;
    (asEmitter as EventEmitter).once('close', () => found.delete(handle));
    return handle;
  };
  syncBuiltinESMExports();
  return found;
}

const closeAll = async (handles: readonly FileHandle[]): Promise<void> =>
  void (await Promise.allSettled(handles.map((handle) => handle.close())));

/** Closes what a worker that a test killed within this process had open below `folder`, as the system does. */
export const closeFilesOfTheDead = (folder: string): Promise<void> =>
  closeAll([...opened].flatMap(([handle, from]) => (from.startsWith(`${folder}/`) ? [handle] : [])));

/**
 * Fails a test file that leaves a file open: the garbage collector would close it at some time, with a warning, and a
 * newer Node ends the process over it.
 */
afterAll(async () => {
  const left = [...opened];
  await closeAll(left.map(([handle]) => handle));
  opened.clear();
  if (left.length > 0) throw new Error(`Left open:\n${left.map(([, from]) => from).join('\n')}`);
});
