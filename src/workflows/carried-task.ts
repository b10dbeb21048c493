import * as v from 'valibot';
import { isCancellation, workflowInfo } from '@temporalio/workflow';
import type { CodexTaskInput } from '../contract/index.js';
import type { Kept } from '../contract/activities.js';
import { isObject } from '../input/clean-json.js';
import { type Schema, shape } from '../input/shapes.js';
import { SCHEMAS } from './carried-fields.js';
import { VERSION_1 } from './carried-version-1.js';
import { read } from './keep.js';
import { mustRead } from './readable.js';
import { failure } from './failures.js';
import { CARRIED_VERSION, type CarriedTask } from './task-state.js';

/**
 * Reads what the run before this one carried over; undefined in a run that continues none. Ignores anything else a
 * caller passes: only the run that is continued knows its own id, so a run by cron or a retry policy starts again.
 * @throws Error when this version, or this worker's keys, cannot read it: the workflow task fails until a worker that
 * can takes it
 */
export function carriedTask(value: unknown): CarriedTask | undefined {
  const { continuedFromExecutionRunId: before, cronSchedule, attempt } = workflowInfo();
  // Of those two, the arguments may be a caller's.
  const isContinued = before !== undefined && cronSchedule === undefined && attempt === 1;
  if (isContinued) mustRead(value);
  if (!isObject(value)) return undefined;
  if (before === undefined || value['from'] !== before) {
    return undefined;
  }
  const { version } = value;
  const reader = READERS.get(version);
  if (!reader)
    throw new Error(
      `The run before was of version ${String(version)}, this worker reads ${CARRIED_VERSION}: run a worker that knows it`,
    );
  const { issues, output, success } = v.safeParse(reader, value);
  if (success) return output;
  const [{ message, path = [] }] = issues;
  throw new Error(`Carried over: ${path.map(({ key }) => String(key)).join('.')}: expected ${message}`);
}

/**
 * Finds the input of a run by a retry policy, which the run before has stored; null: it was passed whole.
 * @throws ApplicationFailure `BadInput` when it is missing
 */
export function keptInputOf(past: unknown): Kept | null {
  const isAgain = workflowInfo().continuedFromExecutionRunId !== undefined;
  if (!isAgain || !isObject(past) || !isObject(past['keptSpec'])) return null;
  const { keptInput } = past;
  const blobIds: unknown = isObject(keptInput) ? keptInput['blobIds'] : null;
  if (!Array.isArray(blobIds) || blobIds.length === 0 || !blobIds.every((each) => typeof each === 'string'))
    throw failure('BadInput', GONE);
  return { blobIds };
}

/**
 * Validates it like any other input, since a caller may have named its place.
 * @throws as `keptInputOf`
 */
export async function readInput(kept: Kept): Promise<CodexTaskInput> {
  try {
    return (await read(kept)) as CodexTaskInput;
  } catch (error) {
    throw isCancellation(error) ? error : failure('BadInput', GONE);
  }
}

const GONE =
  'input: the run before stored it in the database, where it is missing now: start the task again with its input';

/** A worker reads its own version and older ones. */
const READERS: ReadonlyMap<unknown, Schema<CarriedTask>> = new Map([
  [1, VERSION_1],
  [CARRIED_VERSION, shape<CarriedTask>(SCHEMAS)],
]);
