import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { TASK_ID_PATTERN } from '../../contract.js';
import { TaskError } from '../../errors.js';

/** Where everything of one task lies on its host. `home` is beside `work`, so that no archive or download reaches it. */
export interface TaskFolder {
  readonly taskId: string;
  readonly root: string;
  readonly home: string;
  readonly codexHome: string;
  readonly authJson: string;
  readonly work: string;
  readonly journal: string;
  readonly ledger: string;
  readonly checkpoint: string;
  readonly processJson: string;
  readonly taskJson: string;
  readonly socket: string;
  readonly codexLog: string;
}

/**
 * The folder of a task below the worker's data folder.
 * @throws TaskError `BadInput` for an id that must not become a path
 */
export function taskFolder(dataDir: string, taskId: string): TaskFolder {
  if (!TASK_ID_PATTERN.test(taskId)) throw new TaskError('BadInput', `Bad task id ${JSON.stringify(taskId)}`);
  const root = join(tasksFolder(dataDir), taskId);
  const home = join(root, 'home');
  return {
    taskId,
    root,
    home,
    codexHome: join(home, '.codex'),
    authJson: join(home, '.codex', 'auth.json'),
    work: join(root, 'work'),
    journal: join(root, 'journal'),
    ledger: join(root, 'journal', 'ledger.jsonl'),
    checkpoint: join(root, 'journal', 'recall.json'),
    processJson: join(root, 'process.json'),
    taskJson: join(root, 'task.json'),
    socket: join(root, 'codex.sock'),
    codexLog: join(root, 'codex.log'),
  };
}

export const tasksFolder = (dataDir: string): string => join(dataDir, 'tasks');

/** Ids of the tasks that have a folder here, whether anybody runs them or not. */
export async function leftTasks(dataDir: string): Promise<string[]> {
  const names = await readdir(tasksFolder(dataDir)).catch(() => []);
  return names.filter((name) => TASK_ID_PATTERN.test(name));
}

/** Workdirs that could not be saved, each as `<taskId>-<milliseconds>`: a person decides about them. */
export const unsavedFolder = (dataDir: string): string => join(dataDir, 'unsaved');

/** Journals of ended tasks, kept for late readers. */
export const endedFolder = (dataDir: string): string => join(dataDir, 'ended');
