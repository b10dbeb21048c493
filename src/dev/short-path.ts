import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A path by which a socket in a folder can be named. */
export interface ShortPath {
  path: string;
  remove: () => Promise<void>;
}

/** The kernel has room for 107 bytes in the path of a unix socket. */
const MAX_SOCKET_BYTES = 107;

/**
 * The folder itself (made if need be, 0700) where `socketName` in it fits a unix socket's path, else a link to
 * it in the temp folder. The socket lies in the folder either way, out of reach of who may not enter that.
 */
export async function shortPathTo(folder: string, socketName: string): Promise<ShortPath> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (Buffer.byteLength(join(folder, socketName)) <= MAX_SOCKET_BYTES) {
    return { path: folder, remove: () => Promise.resolve() };
  }
  const parent = await mkdtemp(join(tmpdir(), 'codex-task-'));
  const path = join(parent, 'f');
  await symlink(folder, path);
  return { path, remove: () => rm(parent, { recursive: true, force: true }) };
}
