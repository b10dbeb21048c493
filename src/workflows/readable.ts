import { patched, workflowInfo } from '@temporalio/workflow';
import { Unreadable } from '../codec/unreadable.js';

/** Of this run alone: each has a module of its own. */
let taken = 0;
let missing: string | null = null;

/**
 * Takes in something from outside once. What could not be read then is unreadable in every replay, also by a worker that
 * has its key meanwhile: only that is marked in the history. What was read then is to be read.
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
 * Something that a worker of this fleet wrote, or one read before: another worker has its key.
 * @throws Error when this one has not. The workflow task fails then, whatever is done about the error, and begins again
 * until a worker that has the key takes it.
 */
export function mustRead<T>(value: T): T {
  if (!(value instanceof Unreadable)) return value;
  missing = `Left to a worker that can read it: ${value.why}`;
  throw new Error(missing);
}

/** @throws Error when this workflow task is another worker's to do */
export function refuseUnread(): void {
  if (missing !== null) throw new Error(missing);
}
