import { reasonOf } from '../../errors.js';
import { dropMessages } from '../../store/task-state.js';
import { compactLedger } from './compact-ledger.js';
import type { SavingHost } from '../model/host-context.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { saveTask } from './save-task.js';
import { timeLimit } from '../../async/time-limit.js';
import type { TurnCheckpoints } from '../model/turn-checkpoints.js';

/** How long the next message waits for a checkpoint; after one that did not finish, twice as long. Milliseconds. */
const CHECKPOINT_MS = 60_000;
/** The longest wait. After it some turns run without a checkpoint, each time twice as many. */
const MAX_CHECKPOINT_MS = 960_000;

/** Takes checkpoints of a task on this host, as its `snapshot.checkpoint` asks. */
export function openTurnCheckpoints(
  host: SavingHost,
  task: PreparedTask,
  threadId: string,
  limitMs: number = CHECKPOINT_MS,
): TurnCheckpoints {
  const { spec, ref, arrived } = task;
  const closed = new AbortController();
  const patience = openPatience(limitMs);
  let isSaid = false;
  const save = async (): Promise<void> => {
    if (!patience.begins()) return;
    const signal = timeLimit(patience.ms, closed.signal);
    const needed = new Set(arrived);
    try {
      await saveTask(host, task, { threadId, isWhole: false, signal });
      patience.ended();
      isSaid = false;
      await compactLedger(host, task, needed);
    } catch (error) {
      if (signal.aborted) patience.ranOut();
      throw error;
    }
  };
  const forget = async (): Promise<void> => {
    const answered = new Set(arrived);
    // A task of one job begins again when its host is lost; a conversation does not repeat what was answered.
    if (spec.mode === 'conversation' && answered.size > 0) {
      await dropMessages(host.store, ref.runId, [...answered]);
      for (const messageId of answered) arrived.delete(messageId);
    }
    await compactLedger(host, task, answered);
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
        if (closed.signal.aborted || act === forget || isSaid) return null;
        isSaid = true;
        return `checkpoint: ${reasonOf(error)}; work since the last one is lost if this host is`;
      }
    },
    close: () => closed.abort(),
  };
}

/**
 * How long to wait for checkpoints of a workdir of unknown size, so that a large one is not tried in vain after each
 * turn.
 */
export function openPatience(firstMs: number) {
  let ms = firstMs;
  let toSkip = 0;
  let skips = 1;
  return {
    get ms() {
      return ms;
    },
    /** Whether to try one now. */
    begins: () => toSkip-- <= 0,
    ended() {
      [toSkip, skips] = [0, 1];
    },
    ranOut() {
      if (ms * 2 <= MAX_CHECKPOINT_MS) ms *= 2;
      else [toSkip, skips] = [skips, skips * 2];
    },
  };
}
