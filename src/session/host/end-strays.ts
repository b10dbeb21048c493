import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, listProcesses, livingIn, type ProcessEntry } from '../../process/process-identity.js';
import { stopProcess } from '../../process/stop-process.js';
import type { HostContext } from '../model/host-context.js';
import { findProcess } from '../../task-folder/process-record.js';
import { isFolderName } from '../../task-folder/folder-name.js';
import { folderNamed, tasksFolder } from '../../task-folder/task-folder.js';

/**
 * Ends processes in the folders of tasks without a Codex: an unowned app-server, and leftovers of its commands. Ends
 * only processes whose environment has a home in such a folder, and none of a known task.
 */
export async function endStrays({
  config,
  tasks,
  log,
}: Pick<HostContext, 'config' | 'tasks' | 'log'>): Promise<void> {
  const { dataDir } = config;
  for (const [name, strays] of await byFolder(tasksFolder(dataDir))) {
    const folder = folderNamed(dataDir, name);
    const record = await findProcess(folder).catch(() => null);
    const hasOwner = tasks.hasFolder(name) || (record !== null && (await isAlive(record)));
    const oldest = strays[0];
    if (hasOwner || !oldest) continue;
    log.warn({ taskId: record?.taskId ?? name, pids: strays.map(({ pid }) => pid) }, 'processes.orphaned');
    // Ends Codex gently; younger processes in its folder end with it.
    await stopProcess(oldest, { codexHome: folder.codexHome, socketPath: folder.socket });
  }
}

/** The processes that live in each folder of a task, oldest first. */
async function byFolder(tasksDir: string): Promise<Map<string, ProcessEntry[]>> {
  const found = new Map<string, ProcessEntry[]>();
  const living = await livingIn(tasksDir, await listProcesses());
  for (const each of living.sort((a, b) => a.startTime - b.startTime)) {
    const name = await folderOf(each, tasksDir);
    if (name !== null) found.set(name, [...(found.get(name) ?? []), each]);
  }
  return found;
}

async function folderOf({ pid }: ProcessEntry, tasksDir: string): Promise<string | null> {
  const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const homes = ['HOME', 'CODEX_HOME'].map((name) => join(`${name}=${tasksDir}`, '/'));
  for (const entry of variables.split('\0'))
    for (const home of homes) {
      const name = entry.startsWith(home) ? entry.slice(home.length).split('/')[0] : undefined;
      if (name !== undefined && isFolderName(name)) return name;
    }
  return null;
}
