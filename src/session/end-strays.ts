import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TASK_ID_PATTERN } from '../contract.js';
import { isAlive, listProcesses, livingIn, type ProcessEntry } from '../host/process-identity.js';
import { stopProcess } from '../host/stop-process.js';
import type { HostContext } from './host-context.js';
import { readProcessRecord } from './records/process-record.js';
import { taskFolder, tasksFolder } from './records/task-folder.js';

/**
 * Ends what runs in the folders of tasks without a codex: an app-server that no task knows, and what its commands
 * left behind. Only a process whose environment has a home in such a folder is ours to end, and a task that is known
 * here looks after its own.
 */
export async function endStrays({ config, tasks, log }: HostContext): Promise<void> {
  const { dataDir } = config;
  for (const [taskId, strays] of await byTask(tasksFolder(dataDir))) {
    const folder = taskFolder(dataDir, taskId);
    const record = await readProcessRecord(folder);
    const hasOwner = tasks.find(taskId) !== undefined || (record !== null && (await isAlive(record)));
    const oldest = strays[0];
    if (hasOwner || !oldest) continue;
    log.warn({ taskId, pids: strays.map(({ pid }) => pid) }, 'processes.orphaned');
    // Codex itself is asked gently; whatever else lives in the folder and is younger ends with it.
    await stopProcess(oldest, { codexHome: folder.codexHome, socketPath: folder.socket });
  }
}

/** The processes that live in a folder of tasks, oldest first. */
async function byTask(tasksDir: string): Promise<Map<string, ProcessEntry[]>> {
  const found = new Map<string, ProcessEntry[]>();
  const living = await livingIn(tasksDir, await listProcesses());
  for (const each of living.sort((a, b) => a.startTime - b.startTime)) {
    const taskId = await taskOf(each, tasksDir);
    if (taskId !== null) found.set(taskId, [...(found.get(taskId) ?? []), each]);
  }
  return found;
}

async function taskOf({ pid }: ProcessEntry, tasksDir: string): Promise<string | null> {
  const variables = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const homes = ['HOME', 'CODEX_HOME'].map((name) => join(`${name}=${tasksDir}`, '/'));
  for (const entry of variables.split('\0'))
    for (const home of homes) {
      const taskId = entry.startsWith(home) ? entry.slice(home.length).split('/')[0] : undefined;
      if (taskId !== undefined && TASK_ID_PATTERN.test(taskId)) return taskId;
    }
  return null;
}
