import { readdir, readFile } from 'node:fs/promises';
import type { LeaseRef, TaskRef } from '../activities/arguments.js';
import { TASK_ID_PATTERN } from '../contract.js';
import { reasonOf } from '../errors.js';
import { releaseLease } from '../store/leases.js';
import { fingerprint } from '../store/seed-archive.js';
import { saveBack } from '../store/seeds.js';
import type { HostContext } from './host-context.js';
import { readAuth, removeFolder } from './prepare-task.js';
import { readProcessRecord, reapProcess } from './process-record.js';
import { taskFolder, tasksFolder, type TaskFolder } from './task-folder.js';

/**
 * Ends what an earlier worker on this data folder left: codex stops, a credential it rotated is saved, the
 * lease is free, the folder goes. A folder whose credential could not be saved stays for the next start.
 */
export async function reapTasks(host: HostContext): Promise<void> {
  const names = await readdir(tasksFolder(host.config.dataDir)).catch(() => []);
  for (const taskId of names.filter((name) => TASK_ID_PATTERN.test(name))) {
    try {
      await reapTask(host, taskFolder(host.config.dataDir, taskId));
    } catch (error) {
      host.log.error({ taskId, reason: reasonOf(error) }, 'task.reap.failed');
    }
  }
}

async function reapTask(host: HostContext, folder: TaskFolder): Promise<void> {
  const record = await readProcessRecord(folder);
  await reapProcess(folder, host.log);
  const owned = await readTask(folder);
  if (owned?.lease) {
    const bytes = await readAuth(folder);
    const print = bytes && fingerprint(bytes);
    if (bytes && print !== null && print !== record?.savedSha256)
      await saveBack(host.store, owned.lease, bytes, { taskId: folder.taskId });
    await releaseLease(host.store, owned.lease);
  }
  await removeFolder(folder.root);
  host.log.warn({ taskId: folder.taskId }, 'task.reaped');
}

async function readTask(folder: TaskFolder): Promise<{ ref: TaskRef; lease: LeaseRef | null } | null> {
  try {
    return JSON.parse(await readFile(folder.taskJson, 'utf8')) as { ref: TaskRef; lease: LeaseRef | null };
  } catch {
    return null;
  }
}
