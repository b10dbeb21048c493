import type { PreviousHost, TaskRef } from '../../contract/activities.js';
import { beginAssignment } from '../../store/assignments.js';
import type { HostContext } from '../model/host-context.js';

/**
 * Whether this host has the assignment, which it records when the task has none: one operation decides between
 * concurrent callers. No other assignment of the task may begin anywhere from then on. Idempotent.
 */
export async function isOurs(
  { store, hostId }: Pick<HostContext, 'store' | 'hostId'>,
  ref: TaskRef,
  moved: PreviousHost | null | undefined,
): Promise<boolean> {
  const held = await beginAssignment(store, { ...ref, hostId, ordinal: moved?.generation ?? 0 });
  return held.assignmentId === ref.assignmentId && held.hostId === hostId;
}
