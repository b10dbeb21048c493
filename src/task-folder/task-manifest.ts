import { readFile } from 'node:fs/promises';
import { replaceFile } from './own-file.js';
import { requireKnown, versioned, type Versioned } from '../formats.js';
import type { LeaseRef, TaskRef, PrepareArguments } from '../contract/activities.js';
import { taskFoldersIn, type TaskFolder } from './task-folder.js';

/** `task.json` of a folder that is not ready yet: whose it is and which lease it has, but nothing to continue with. */
interface BegunTask {
  ref: TaskRef;
  lease: LeaseRef | null;
  preparing: true;
}

/** Records whose task a new folder is. */
export const noteBegun = (folder: TaskFolder, ref: TaskRef, lease: LeaseRef | null): Promise<void> =>
  replace(folder, { ref, lease, preparing: true });

/** Records what a later worker continues with. */
export const writeTaskManifest = (folder: TaskFolder, kept: TaskManifest): Promise<void> =>
  replace(folder, kept);

/** Records which lease a task here has now. */
export async function noteLease(folder: TaskFolder, lease: LeaseRef): Promise<void> {
  const kept = await readOwner(folder.taskJson);
  if (kept) await replace(folder, { ...kept, lease });
}

async function replace(folder: TaskFolder, kept: TaskManifest | BegunTask): Promise<void> {
  await replaceFile(folder.taskJson, JSON.stringify(versioned('task', kept)));
}

/** What an earlier worker recorded of a task; null when there is nothing to continue. */
export async function readTaskManifest(taskJson: string): Promise<TaskManifest | null> {
  const kept = await readOwner(taskJson);
  return kept === null || 'preparing' in kept ? null : kept;
}

/**
 * The task of a folder; null when nothing names it.
 * @throws NewerFormat for a record of a newer worker: its task must not be taken for one that nobody has
 */
export async function readOwner(taskJson: string): Promise<TaskManifest | BegunTask | null> {
  let owner: Partial<Versioned<'task', TaskManifest | BegunTask>> | null;
  try {
    owner = JSON.parse(await readFile(taskJson, 'utf8')) as typeof owner;
  } catch {
    return null;
  }
  if (owner === null) return null;
  const { version, ...kept } = owner;
  requireKnown('task', version, taskJson);
  return kept as TaskManifest | BegunTask;
}

/** The assignments that have something in this data folder. What never came so far that it says whose it is counts as none. */
export async function assignmentsOnDisk(dataDir: string): Promise<TaskRef[]> {
  const owners = await Promise.all((await taskFoldersIn(dataDir)).map(({ taskJson }) => readOwner(taskJson)));
  return owners.flatMap((owner) => owner?.ref ?? []);
}

/** What an adopting worker finds in `task.json`. */
export interface TaskManifest extends PrepareArguments {
  /** Its account is out of quota: no codex runs, and none is to be started before the workflow says so. */
  parked?: true;
  /** When this assignment began, by the database's clock, ISO 8601. */
  begunAt?: string;
}
