import { endSession } from './end-task.js';
import type { HostContext } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { tryToNote } from './try-to-note.js';

/**
 * Ends a task's session and records its running turn as one to repeat. Retries the record on a full disk once Codex
 * has ended, and stops in any case.
 */
export async function stopAndNote(
  host: Pick<HostContext, 'tasks' | 'log'>,
  task: HostTask,
  turnId: string | null,
): Promise<void> {
  const { ref } = task;
  const note = () =>
    task.kind === 'claimed' || turnId === null
      ? Promise.resolve(true)
      : tryToNote(host, ref.taskId, () => task.prepared.ledger.write({ t: 'suspended', turnId }));
  const isNoted = await note();
  await endSession(host, ref);
  if (!isNoted) await note();
}
