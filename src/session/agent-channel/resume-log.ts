import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../errors.js';

const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * Adds this start as a line to `work/resume.log`, so that a resumed agent learns of it. Leaves anything but a file
 * there unchanged.
 * @returns a warning when the start could not be noted, else null
 */
export async function noteStart(work: string): Promise<string | null> {
  try {
    const flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
    const log = await open(join(work, 'resume.log'), flags, 0o644);
    try {
      if (!(await log.stat()).isFile()) throw new Error('it is no file');
      await log.appendFile(`${new Date().toISOString().replace(/\.\d+Z$/, 'Z')}\n`);
    } finally {
      await log.close();
    }
    return null;
  } catch (error) {
    return `This start is not noted in resume.log of the workdir: ${reasonOf(error)}`;
  }
}
