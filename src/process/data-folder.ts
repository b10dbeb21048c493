import { randomBytes } from 'node:crypto';
import { access, chmod, constants, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { reasonOf, TaskError } from '../errors.js';
import { lockFolder, type FolderLock } from './folder-lock.js';

export interface DataFolder {
  /** Names this folder, and with it the queue that only its worker polls. */
  readonly hostId: string;
  /** Releases the folder for another worker. */
  unlock(): void;
}

/**
 * Folders of ended tasks' journals, of workdirs set aside and of logins under way. They are always there: the sandbox of
 * a command can hide only what exists when its codex is launched.
 */
export const HIDDEN_FOLDERS = ['ended', 'unsaved', 'login'] as const;

/**
 * Makes the data folder this process's own until it ends.
 * @throws TaskError `HostUnfit` when it is not writable or another worker has it
 */
export async function openDataFolder(path: string): Promise<DataFolder> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
    await access(path, constants.W_OK);
    for (const name of HIDDEN_FOLDERS) await mkdir(join(path, name), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw notWritable(path, error);
  }
  const lock = takeLock(path);
  try {
    return {
      hostId: await readHostId(path),
      unlock: () => lock.release(),
    };
  } catch (error) {
    lock.release();
    throw notWritable(path, error);
  }
}

const notWritable = (path: string, error: unknown) =>
  new TaskError(
    'HostUnfit',
    `Data folder ${path} is not writable (${reasonOf(error)}): make it so or set CODEX_TASK_DATA_DIR`,
    { cause: error },
  );

function takeLock(path: string): FolderLock {
  const lock = lockFolder(path, 'worker');
  if (lock) return lock;
  throw new TaskError(
    'HostUnfit',
    `Data folder ${path} is in use by another worker: stop that one or set CODEX_TASK_DATA_DIR`,
  );
}

async function readHostId(path: string): Promise<string> {
  const file = join(path, 'host-id');
  const known = await readFile(file, 'utf8').catch(() => '');
  if (/^[\w.-]{1,100}\n$/.test(known)) return known.trim();
  const name = hostname()
    .replace(/[^\w.-]/g, '-')
    .slice(0, 60);
  const hostId = `${name}-${randomBytes(4).toString('hex')}`;
  await writeFile(`${file}.new`, `${hostId}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return hostId;
}
