import { within } from '../../async/within.js';
import { pause } from '../../async/pause.js';
import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import type { LeasePorts } from '../model/account-ports.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { isFenced } from './hold-seed.js';
import { renewTaskLease, type LeaseAnswer } from './renew-task-lease.js';

/** Between questions to a database that does not answer. Milliseconds. */
const RETRY_MS = 1_000;
/** How long one of them is waited for before the time of the lease is looked at again. Milliseconds. */
const ANSWER_MS = 5_000;

export interface AskOptions {
  /** Milliseconds; default: until the time of the lease is over. */
  readonly withinMs?: number;
  /** Aborts when the answer is of no use any more. */
  readonly signal?: AbortSignal;
}

/**
 * Whether the seed is the task's, asked after this was called: this process may have stood still since it knew last.
 * To be asked before anything spends a refresh token. `unknown`: the database did not say in time, or the time of
 * the lease is over.
 */
export async function stillOurs(
  host: LeasePorts,
  task: { readonly ref: Pick<TaskRef, 'taskId'>; readonly folder: TaskFolder },
  lease: LeaseRef,
  { withinMs = Infinity, signal = new AbortController().signal }: AskOptions,
): Promise<LeaseAnswer> {
  const deadline = performance.now() + withinMs;
  while (!signal.aborted && !(await isFenced(task))) {
    const leftMs = deadline - performance.now();
    if (leftMs <= 0) break;
    const asked = renewTaskLease(host, task.ref.taskId, lease);
    const answer = await within(Math.min(leftMs, ANSWER_MS), asked, signal);
    if (answer === 'taken') return 'taken';
    // Asked in time and answered late: codex is being stopped by now.
    if (answer === 'ours' && !(await isFenced(task))) return 'ours';
    await pause(Math.min(RETRY_MS, leftMs), signal);
  }
  return 'unknown';
}
