import { open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readAuthFacts, rotates } from '../../codex/auth-json.js';
import type { AccountPorts } from '../model/account-ports.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { readAuth } from './read-auth.js';
import { reportFault } from './task-account.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';

/** Size of a usual auth.json. */
const PROBE_BYTES = 8_192;

/**
 * Checks whether Codex could write refreshed tokens, and reports it when not. Returns why; null: it could, or has
 * none that rotate.
 */
export async function checkHome(host: AccountPorts, task: PreparedTask): Promise<string | null> {
  const bytes = await readAuth(task.folder);
  if (!bytes || !rotates(readAuthFacts(bytes))) return null;
  const fault = await unwritableHome(task.folder);
  if (fault === null) return null;
  const message = `auth.json of task ${task.ref.taskId} cannot be replaced (${fault}): codex would lose the tokens it refreshes; no turn begins before it can`;
  reportFault(host, task, { kind: 'unwritable', message });
  return fault;
}

/**
 * Why Codex could not replace its auth.json by writing, syncing and renaming a temporary file. Null: it could. Tries
 * with a file of our own.
 */
async function unwritableHome({ codexHome, authJson }: TaskFolder): Promise<string | null> {
  const probe = join(codexHome, '.write-probe');
  try {
    const [home, file] = await Promise.all([stat(codexHome), stat(authJson)]);
    if (!file.isFile() || file.dev !== home.dev) return 'it is not a regular file in its folder';
    const handle = await open(probe, 'w', 0o600);
    try {
      await handle.writeFile(Buffer.alloc(PROBE_BYTES));
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(probe, `${probe}.renamed`);
    return null;
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? null : code || message;
  } finally {
    for (const path of [probe, `${probe}.renamed`]) await rm(path, { force: true }).catch(() => undefined);
  }
}
