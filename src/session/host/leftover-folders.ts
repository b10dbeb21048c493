import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { reasonOf } from '../../errors.js';
import { settleForgetting } from '../../store/hosts.js';
import type { KeepingHost } from '../model/host-context.js';
import { removeFolder } from '../../task-folder/remove-folder.js';
import { endedJournal, taskFolder, unsavedFolder } from '../../task-folder/task-folder.js';

/** Leftovers of an ended task in a data folder. */
export interface LeftoverFolders {
  /** Journals, and workdirs that could not be saved: no task owns them. */
  readonly ownerless: string[];
  /** The task's own folder, which may hold a credential: the worker ends it. Null: there is none. */
  readonly own: string | null;
}

/** Looks for them. */
export async function leftoverFolders(dataDir: string, taskId: string): Promise<LeftoverFolders> {
  const { root, name: own } = taskFolder(dataDir, taskId);
  const journal = endedJournal(dataDir, taskId);
  const unsaved = unsavedFolder(dataDir);
  // Its name consists of the task's folder name and a time.
  const isOfTask = (name: string) => name.startsWith(`${own}-`) && /^\d+$/.test(name.slice(own.length + 1));
  const workdirs = (await readdir(unsaved).catch(() => [])).filter(isOfTask);
  return {
    ownerless: [
      ...(existsSync(journal) ? [journal] : []),
      ...workdirs.sort().map((name) => join(unsaved, name)),
    ],
    own: existsSync(root) ? root : null,
  };
}

export async function removeKept({ ownerless }: LeftoverFolders): Promise<void> {
  for (const path of ownerless) await removeFolder(path);
}

/** Drops the journal of an ended task for a purge. Never rejects; a failed request is repeated. */
export async function forgetEnded(host: KeepingHost, taskId: string): Promise<void> {
  try {
    // A task that runs here has no journal from before.
    if (!host.tasks.find(taskId)) {
      await rm(endedJournal(host.config.dataDir, taskId), { recursive: true, force: true });
    }
    await settleForgetting(host.store, host.hostId, taskId);
    host.log.info({ taskId }, 'task.forgotten');
  } catch (error) {
    host.log.warn({ taskId, reason: reasonOf(error) }, 'task.forget.failed');
  }
}
