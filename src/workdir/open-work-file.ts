import { constants } from 'node:fs';
import { open, readlink, realpath, type FileHandle } from 'node:fs/promises';
import { isAbsolute, join, normalize, sep } from 'node:path';
import { WorkFileFault } from './work-file-fault.js';

/** A regular file below a workdir, open for reading. The caller closes it. */
export interface WorkFile {
  readonly handle: FileHandle;
  readonly size: number;
  readonly mtimeMs: number;
}

/**
 * Opens a file by its path relative to `work`. Where it really lies is asked of the open file, so nothing that
 * the agent changes meanwhile matters; a pipe or device is never waited for.
 * @throws WorkFileFault
 */
export async function openWorkFile(work: string, path: string): Promise<WorkFile> {
  if (path === '' || path.includes('\0')) throw new WorkFileFault('bad-path');
  const inside = normalize(path);
  if (isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`))
    throw new WorkFileFault('forbidden');
  const handle = await open(join(work, inside), READ_NOW).catch((error: unknown) => {
    throw faultOf(error);
  });
  try {
    const root = await realpath(work);
    const real = await realPathOf(handle, join(work, inside));
    if (real !== root && !real.startsWith(root + sep)) throw new WorkFileFault('forbidden');
    const stats = await handle.stat();
    if (!stats.isFile()) throw new WorkFileFault('bad-path');
    return { handle, size: stats.size, mtimeMs: stats.mtimeMs };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Where an open file lies, without symbolic links. */
export async function realPathOf(handle: FileHandle, path: string): Promise<string> {
  const link = `/proc/self/fd/${handle.fd}`;
  return process.platform === 'linux' ? readlink(link) : realpath(path);
}

const READ_NOW = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

function faultOf(error: unknown): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return new WorkFileFault('not-found');
    case 'EACCES':
    case 'EPERM':
      return new WorkFileFault('forbidden');
    case 'ENXIO':
    case 'ENODEV':
      return new WorkFileFault('bad-path');
    default:
      return error;
  }
}
