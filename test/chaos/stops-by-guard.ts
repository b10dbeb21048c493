import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** How often the guard of this data folder stopped the task's codex, by its own log, which begins with the first. */
export async function stopsByGuard(dataDir: string, taskId: string): Promise<number> {
  const log = await readFile(join(dataDir, 'guard.log'), 'utf8').catch(() => '');
  // Not parsed: a full disk may have cut a line.
  return log.split('\n').filter((line) => line.includes(`"taskId":"${taskId}"`)).length;
}
