import { rename, utimes } from 'node:fs/promises';

/**
 * Moves an ended task's journal to where it is kept. `ended-tasks.ts` counts from the folder's own time, which a
 * rename leaves at the last new file in it, perhaps an hour ago.
 */
export async function keepFromNow(journal: string, kept: string): Promise<void> {
  const now = new Date();
  await utimes(journal, now, now);
  await rename(journal, kept);
}
