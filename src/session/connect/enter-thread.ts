import { countOf } from '../../task-folder/ledger.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { recallMore } from '../recall/recall-events.js';
import { nothingRecalled, type RecalledEvents } from '../recall/recalled-events.js';
import type { Connection } from './dial.js';
import { openThread, type OpenThread } from './open-thread.js';
import { announce, sandboxWarnings } from './sandbox-warnings.js';
import { journalHistory } from './thread-history.js';

const NO_THREAD_WARNING = 'The snapshot holds no conversation: a new thread was started in its workdir';

/** An open thread and the task's records of it. */
export interface EnteredThread extends OpenThread {
  readonly threadId: string;
  /** State recalled from its journal. */
  readonly seen: RecalledEvents;
  /** How many sessions of the task began on this host before. */
  readonly session: number;
}

/**
 * Opens the task's thread and records that: first the turns of a snapshot as history, then warnings about the
 * sandbox.
 * @throws as `openThread`; the error of Codex or of the disk
 */
export async function enterThread(
  task: PreparedTask,
  { rpc, isNew, incarnation, warnings }: Connection,
): Promise<EnteredThread> {
  const { journal, ledger, spec, recalled } = task;
  const opened = await openThread(rpc, task, isNew);
  const { thread, model } = opened.response;
  if (!recalled && task.threadId !== null) {
    if (thread.id === task.threadId) await journalHistory(rpc, task.threadId, journal);
    else warnings.push(NO_THREAD_WARNING);
  }
  const seen = recalled ?? (await historyOf(task, thread.id));
  if (incarnation === 1) announce(sandboxWarnings(spec.sandbox), journal);
  const session = countOf(ledger.past, 'threads');
  await ledger.write({ t: 'thread', threadId: thread.id, model });
  // The number of these records orders its reports, even after a loss of power.
  void ledger.sync().catch(() => undefined);
  return { ...opened, threadId: thread.id, seen, session };
}

/** State recalled from the journal for a thread that is new here, without the history written just now. */
async function historyOf({ journal, threadId }: PreparedTask, opened: string): Promise<RecalledEvents> {
  if (threadId === null) return nothingRecalled();
  await journal.flushed();
  return recallMore(journal, opened);
}
