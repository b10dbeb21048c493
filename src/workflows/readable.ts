import { patched, workflowInfo } from '@temporalio/workflow';
import { Unreadable } from '../codec/unreadable.js';

/** Of this run alone: each has a module of its own. */
let taken = 0;
let missing: string | null = null;

/**
 * Reads a payload from outside once. A payload that could not be read then is unreadable in every replay, even in a
 * worker that has its key by now: only that is marked in the history.
 * @throws Error as `mustRead`
 */
export function readOnce(value: unknown): unknown {
  const mark = `unreadable-${++taken}`;
  const { isReplaying } = workflowInfo().unsafe;
  if (isReplaying && patched(mark)) return value instanceof Unreadable ? value : new Unreadable(EARLIER);
  if (isReplaying) return mustRead(value);
  if (value instanceof Unreadable) patched(mark);
  return value;
}

const EARLIER = 'a worker without its key took it';

/**
 * Reads what a worker of this fleet wrote, or what was read before: some worker has its key.
 * @throws Error when this one has not: the workflow task fails, whatever is done about the error, until a worker with
 * the key takes it
 */
export function mustRead<T>(value: T): T {
  if (!(value instanceof Unreadable)) return value;
  missing = `Left to a worker that can read it: ${value.why}`;
  throw new Error(missing);
}

/** @throws Error when another worker has to run this workflow task */
export function refuseUnread(): void {
  if (missing !== null) throw new Error(missing);
}
