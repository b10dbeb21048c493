import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FORMATS } from '../formats.js';
import type { ProcessIdentity } from '../process/process-identity.js';
import type { TaskFolder } from './task-folder.js';

/**
 * Names the process that the guard is about to stop, in the task's folder: a renewal that is answered late moves the
 * deadline on, and then nothing else tells a stop by the guard from an end of codex.
 * @throws what the system says when it cannot be written
 */
export const noteFenced = ({ root }: TaskFolder, identity: ProcessIdentity): Promise<void> =>
  writeFile(noteIn(root), `${nameOf(identity)} ${FORMATS.fenced.version}\n`, { mode: 0o600 });

/** Whether the guard has stopped this very process, or is stopping it; false too where it could not note that. */
export function isNotedFenced({ root }: TaskFolder, identity: ProcessIdentity): boolean {
  try {
    // These two stand first in every version.
    return readFileSync(noteIn(root), 'utf8').split(/\s/, 2).join(' ') === nameOf(identity);
  } catch {
    return false;
  }
}

const noteIn = (root: string) => join(root, 'fenced');

const nameOf = ({ pid, startTime }: ProcessIdentity) => `${pid} ${startTime}`;
