import { existsSync } from 'node:fs';
import { reasonOf, TaskError } from '../../errors.js';
import { databaseNow } from '../../store/mongo.js';
import { endSnapshotSince, endSnapshotWith } from '../../store/snapshots.js';
import { findAssignment } from '../../store/assignments.js';
import { setAside } from './end-task.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { readTaskManifest, type TaskManifest } from '../../task-folder/task-manifest.js';
import { readLedger, threadIn } from '../../task-folder/ledger.js';
import { readManifest } from '../../snapshots/snapshot-manifest.js';
import { takeSnapshot } from '../../snapshots/take-snapshot.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';

/**
 * Saves the work of a task whose workflow will not end it, since it was terminated or lost its host: as a snapshot
 * like at its end, marked `failed`. Sets the workdir aside when none can be taken. Does nothing for a task that never
 * had a thread, that wants no snapshots, or whose end has saved it; writes nothing after a newer end of its key.
 * Codex must have ended. Idempotent.
 * @throws when the database does not answer: everything stays as before
 */
export async function saveOrphan(host: KeepingHost, folder: TaskFolder): Promise<void> {
  const kept = await readTaskManifest(folder.taskJson);
  const threadId = threadIn(await readLedger(folder.ledger));
  if (!kept || threadId === null || !existsSync(folder.work)) return;
  const { ref, spec } = kept;
  const { snapshot: settings } = spec;
  if (settings.checkpoint === 'off') return;
  const { taskId } = ref;
  try {
    // Its end writes it after the snapshot, and changes nothing after that.
    const last = await readManifest(folder, settings.key);
    if (last && (await endSnapshotWith(host.store, settings.key, last.blobs[0]!))) return;
    if (await isPast(host, kept))
      throw new TaskError('HostLost', 'The task has continued or ended without it');
    const args = { ref, settings, kind: 'end', endState: 'failed', threadId } as const;
    const { snapshotId } = await takeSnapshot(host, args, {
      request: `${ref.assignmentId}/abandoned`,
      mayRecord: async () => !(await isPast(host, kept)),
    });
    host.log.warn({ taskId, snapshotId }, 'task.orphan.saved');
  } catch (error) {
    await databaseNow(host.store);
    host.log.error({ taskId, reason: reasonOf(error) }, 'task.save.failed');
    await setAside(host, folder);
  }
}

/** Whether another assignment has the task by now, or an end was saved under its key since this assignment began. */
async function isPast(
  { store, hostId }: Pick<HostContext, 'hostId' | 'store'>,
  { ref, spec, begunAt }: TaskManifest,
): Promise<boolean> {
  const held = await findAssignment(store, ref.taskId);
  if (held && (held.assignmentId !== ref.assignmentId || held.hostId !== hostId)) return true;
  return (
    begunAt !== undefined && (await endSnapshotSince(store, spec.snapshot.key, new Date(begunAt))) !== null
  );
}
