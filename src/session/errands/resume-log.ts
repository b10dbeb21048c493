import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Adds this start to `work/resume.log`, one line each, so that an agent that is resumed learns of it, and which
 * files were made anew for it.
 */
export async function noteStart(work: string, refreshed: readonly string[]): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const log = await open(join(work, 'resume.log'), flags, 0o644);
  try {
    const made = refreshed.length > 0 ? ` REFRESHED:${refreshed.join(',')}` : '';
    await log.appendFile(`${new Date().toISOString().replace(/\.\d+Z$/, 'Z')}${made}\n`);
  } finally {
    await log.close();
  }
}
