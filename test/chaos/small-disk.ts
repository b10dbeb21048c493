import { execFile } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A disk of its own below a folder, so small that it can be filled. */
export interface SmallDisk {
  /** Takes the last free byte. */
  fill(): void;
  free(): Promise<void>;
  unmount(): Promise<void>;
}

/** Mounts one; null where that is refused. */
export async function mountSmallDisk(folder: string, size = SIZE): Promise<SmallDisk | null> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700,nosuid,nodev`, 'chaos', folder]);
  } catch {
    return null;
  }
  const ballast = join(folder, 'ballast');
  return {
    fill() {
      const file = openSync(ballast, 'w');
      try {
        for (const size of [1 << 20, 4096]) writeUntilFull(file, Buffer.alloc(size));
      } finally {
        closeSync(file);
      }
    },
    free: () => rm(ballast, { force: true }),
    // Lazily, so that it goes even while a process that is on its way out has a file there.
    unmount: async () => void (await run('umount', ['-l', folder])),
  };
}

const SIZE = '256m';

function writeUntilFull(file: number, block: Buffer): void {
  for (;;) {
    try {
      if (writeSync(file, block) < block.length) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
      throw error;
    }
  }
}
