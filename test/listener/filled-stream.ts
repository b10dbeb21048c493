import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServedTask } from './serve-task.js';

/** Writes events that tell their number, larger by `fill` bytes. */
export const append = (task: ServedTask, from: number, to: number, fill = 0): void => {
  for (let n = from; n <= to; n++) task.journal.append(JSON.stringify({ n, fill: 'x'.repeat(fill) }));
};

/** The event with which `endTask` ends a stream. */
export const CLOSED_EVENT = JSON.stringify({
  type: 'x-optio-closed',
  reason: 'completed',
  outcome: 'completed',
});

/** Ends the task as the worker does: last event, streams end, journal kept aside. */
export async function endTask(task: ServedTask, graceMs = 5_000): Promise<void> {
  task.journal.append(CLOSED_EVENT);
  await putAside(task, graceMs);
}

/** Keeps the journal aside as that of an ended task. */
export async function putAside(task: ServedTask, graceMs = 0): Promise<void> {
  await task.journal.close(graceMs);
  await mkdir(join(task.dataDir, 'ended'), { recursive: true });
  await rename(task.folder.journal, join(task.dataDir, 'ended', 't1'));
  task.host.tasks.remove('t1');
}
