import type { Collection } from 'mongodb';
import { requireKnown, versioned } from '../formats.js';
import { hostsOf } from './collections.js';
import type { Holding } from './holders.js';
import { isDuplicateKey, type Store } from './mongo.js';

/** Which host has a task, in which assignment: there only may codex run for it. */
export interface AssignmentRecord extends Holding {
  hostId: string;
  /** How many hosts ran Codex before. */
  ordinal: number;
}

interface AssignmentDocument extends Omit<AssignmentRecord, 'taskId'> {
  /** The task's id, so that a task has one assignment at a time, whichever run it is of. */
  _id: string;
  version?: number;
}

const assignmentsOf = (store: Store): Collection<AssignmentDocument> =>
  store.db.collection(`${store.prefix}_codex_assignments`);

/**
 * Records an assignment before anything of it is on the host, unless the task has another one; returns the recorded
 * one. Idempotent.
 */
export async function beginAssignment(
  store: Store,
  { taskId: _id, runId, assignmentId, hostId, ordinal }: AssignmentRecord,
): Promise<AssignmentRecord> {
  for (;;) {
    try {
      await assignmentsOf(store).insertOne(
        versioned('assignment', { _id, runId, assignmentId, hostId, ordinal }),
      );
      return { taskId: _id, runId, assignmentId, hostId, ordinal };
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
    }
    const found = await findAssignment(store, _id);
    if (found) return found;
  }
}

/** The assignment that a task has now. @throws NewerFormat */
export async function findAssignment(store: Store, taskId: string): Promise<AssignmentRecord | null> {
  const found = await assignmentsOf(store).findOne({ _id: taskId });
  return found && describe(found);
}

function describe({
  _id: taskId,
  runId,
  assignmentId,
  hostId,
  ordinal,
  version,
}: AssignmentDocument): AssignmentRecord {
  requireKnown('assignment', version, `The record of the assignment of task ${taskId}`);
  return { taskId, runId, assignmentId, hostId, ordinal };
}

/**
 * Removes the record of an assignment that left nothing on its host, or that its host is fenced from. Other
 * assignments stay. Idempotent.
 */
export async function endAssignment(
  store: Store,
  { taskId, assignmentId }: Pick<AssignmentRecord, 'taskId' | 'assignmentId'>,
  hostId: string,
): Promise<void> {
  await assignmentsOf(store).deleteOne({ _id: taskId, assignmentId, hostId });
}

/** Every assignment recorded for a host. */
export async function assignmentsOn(store: Store, hostId: string): Promise<AssignmentRecord[]> {
  return (await assignmentsOf(store).find({ hostId }).toArray()).map(describe);
}

/**
 * Ends every assignment on a host without a document: should it return, such a host is fenced from all it had.
 * @returns how many
 */
export async function endAssignmentsOfRemovedHosts(store: Store): Promise<number> {
  // Looks for hosts after the assignments: each host registers before it begins one, so a missing one was removed.
  const noted = await assignmentsOf(store).distinct('hostId');
  const known = new Set(await hostsOf(store).distinct('_id', { _id: { $in: noted } }));
  let ended = 0;
  for (const hostId of noted.filter((id) => !known.has(id)))
    for (const assignment of await assignmentsOn(store, hostId)) {
      await endAssignment(store, assignment, hostId);
      ended++;
    }
  return ended;
}
