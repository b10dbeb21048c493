import { within } from '../../async/within.js';
import { pause } from '../../async/pause.js';
import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import type { LeasePorts } from '../model/account-ports.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { isFenced } from './hold-seed.js';
import { renewTaskLease, type LeaseAnswer } from './renew-task-lease.js';

/** Pause between queries to a database that does not answer. Milliseconds. */
const RETRY_MS = 1_000;
/** How long one query may take before the lease's time is checked again. Milliseconds. */
const ANSWER_MS = 5_000;

export interface AskOptions {
  /** Milliseconds; default: until the lease runs out. */
  readonly withinMs?: number;
  /** Aborts when the answer is no longer needed. */
  readonly signal?: AbortSignal;
}

/**
 * Whether the task has the seed, asked after this call, as this process may have been frozen since it last knew. Call
 * it before spending a refresh token. `unknown`: the database did not answer in time, or the lease ran out.
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
    // The answer came late: Codex is being stopped by now.
    if (answer === 'ours' && !(await isFenced(task))) return 'ours';
    await pause(Math.min(RETRY_MS, leftMs), signal);
  }
  return 'unknown';
}
