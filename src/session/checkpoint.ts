import { reasonOf } from '../errors.js';
import { dropMessages } from '../store/task-state.js';
import type { HostContext } from './host-context.js';
import type { PreparedTask } from './prepared-task.js';
import { saveTask } from './save-task.js';
import { timeLimit } from '../time-limit.js';

/** How long the next message waits for a checkpoint. Milliseconds. */
const CHECKPOINT_MS = 60_000;

/** What is done after each turn, before the next one begins, so that another host can go on from here. */
export interface Checkpoints {
  /** Never rejects; gives a warning when the checkpoint could not be taken. */
  take(): Promise<string | null>;
  /** Gives up the one that is under way. */
  close(): void;
}

/** Checkpoints of a task on this host, as its `snapshot.checkpoint` asks. */
export function openCheckpoints(host: HostContext, task: PreparedTask, threadId: string): Checkpoints {
  const { spec, ref, arrived } = task;
  const closed = new AbortController();
  const save = async (): Promise<void> => {
    const signal = timeLimit(CHECKPOINT_MS, closed.signal);
    await saveTask(host, task, { threadId, isWhole: false, signal });
  };
  const forget = async (): Promise<void> => {
    // A task that is one job begins anew when its host is lost; a conversation does not say again what was answered.
    if (spec.mode === 'task' || arrived.size === 0) return;
    const answered = [...arrived];
    arrived.clear();
    await dropMessages(host.store, ref.runId, answered);
  };
  const act = spec.snapshot.checkpoint === 'turn' ? save : forget;
  return {
    async take() {
      if (closed.signal.aborted) return null;
      try {
        await act();
        return null;
      } catch (error) {
        host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'checkpoint.failed');
        return closed.signal.aborted || act === forget ? null : `checkpoint: ${reasonOf(error)}`;
      }
    },
    close: () => closed.abort(),
  };
}
