import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { folderNameOf, isFolderName } from './folder-name.js';

/**
 * Where everything of one task lies on its host. `home` is next to `work`, so that no archive or download reaches it.
 */
export interface TaskFolder {
  readonly taskId: string;
  /** As in `tasks`, `ended` and `unsaved`. */
  readonly name: string;
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
  /** The settings that its snapshots hold, and their secrets, encrypted. */
  readonly keptSettings: string;
  readonly keptSecrets: string;
}

/** The folder of a task below the worker's data folder. */
export const taskFolder = (dataDir: string, taskId: string): TaskFolder =>
  folderNamed(dataDir, folderNameOf(taskId), taskId);

/** The same for a folder of that name, of which perhaps nothing says whose it is. */
export function folderNamed(dataDir: string, name: string, taskId = name): TaskFolder {
  const root = join(tasksFolder(dataDir), name);
  const home = join(root, 'home');
  return {
    taskId,
    name,
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
    keptSettings: join(root, 'kept-config.toml'),
    keptSecrets: join(root, 'kept-secrets'),
  };
}

export const tasksFolder = (dataDir: string): string => join(dataDir, 'tasks');

/**
 * The folders of tasks here, whether anybody runs them or not. Whose one is, its `task.json` says, or `process.json`;
 * without both it never had a codex, and goes by its name.
 */
export async function taskFoldersIn(dataDir: string): Promise<TaskFolder[]> {
  const names = (await readdir(tasksFolder(dataDir)).catch(() => [])).filter(isFolderName);
  return Promise.all(names.map(async (name) => folderNamed(dataDir, name, await ownerOf(dataDir, name))));
}

async function ownerOf(dataDir: string, name: string): Promise<string | undefined> {
  const { taskJson, processJson } = folderNamed(dataDir, name);
  const { ref } = (await readJson(taskJson)) as { ref?: { taskId?: unknown } };
  const ids = [ref?.taskId, ((await readJson(processJson)) as { taskId?: unknown }).taskId];
  return ids.find((id): id is string => typeof id === 'string' && folderNameOf(id) === name);
}

async function readJson(file: string): Promise<object> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** Workdirs that could not be saved, each as `<name of its folder>-<milliseconds>`: a person decides about them. */
export const unsavedFolder = (dataDir: string): string => join(dataDir, 'unsaved');

/** Journals of ended tasks, kept for late readers. */
export const endedFolder = (dataDir: string): string => join(dataDir, 'ended');

/** The journal of this ended task. */
export const endedJournal = (dataDir: string, taskId: string): string =>
  join(endedFolder(dataDir), folderNameOf(taskId));
