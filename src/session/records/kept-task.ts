import { readFile } from 'node:fs/promises';
import type { KeptTask } from '../park-task.js';

/** The thread that the task's codex had; null: it had none yet. */
export function threadIn(ledger: string): string | null {
  return /.*\{"t":"thread","threadId":"([^"]+)"/s.exec(ledger)?.[1] ?? null;
}

/** What an earlier worker was told of a task; null when there is nothing of it, or a crash cut it. */
export async function readKept(taskJson: string): Promise<KeptTask | null> {
  try {
    return JSON.parse(await readFile(taskJson, 'utf8')) as KeptTask;
  } catch {
    return null;
  }
}
