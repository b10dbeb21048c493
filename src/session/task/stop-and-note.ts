import { endSession } from './end-task.js';
import type { HostContext } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { tryToNote } from './try-to-note.js';

/**
 * Ends a task's session; the turn that runs is noted as one to be done again. A disk that is full gets a second
 * chance once codex is gone, and keeps nothing from its stop.
 */
export async function stopAndNote(
  host: Pick<HostContext, 'tasks' | 'log'>,
  task: HostTask,
  turnId: string | null,
): Promise<void> {
  const { ref } = task;
  const note = () =>
    task.is === 'claimed' || turnId === null
      ? Promise.resolve(true)
      : tryToNote(host, ref.taskId, () => task.prepared.ledger.write({ t: 'suspended', turnId }));
  const isNoted = await note();
  await endSession(host, ref);
  if (!isNoted) await note();
}
