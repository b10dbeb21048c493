import type { SnapshotArguments } from '../step-arguments.js';
import { putBlob } from '../store/blobs.js';
import { ownMetadata } from '../store/secret-blobs.js';
import { insertSnapshot, pruneSnapshots, snapshotOfRequest } from '../store/snapshots.js';
import { archiveTask } from './archive-task.js';
import type { HostContext } from './host-context.js';
import { taskFolder } from './task-folder.js';

/** One call of `takeSnapshot`. */
export interface SnapshotCall {
  /** Names the call: a repeated one gets the snapshot of the first. */
  readonly request: string;
  readonly signal?: AbortSignal;
  /** Kept in the document as it is, as `details`. */
  readonly details?: Record<string, unknown>;
}

/**
 * Saves the task's workdir and conversation: the blob first, then the document that names it. Codex may live
 * meanwhile as long as no turn runs; nothing is closed or changed. Repeatable.
 */
export async function takeSnapshot(
  host: HostContext,
  { ref, settings, endState, threadId }: SnapshotArguments,
  { request, signal, details }: SnapshotCall,
): Promise<{ snapshotId: string }> {
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  const { key, keep, exclude } = settings;
  const { store } = host;
  const taken = await snapshotOfRequest(store, key, request);
  if (taken) return { snapshotId: taken.id };
  const blobId = await putBlob(store, archiveTask(folder, exclude), {
    filename: 'workdir',
    metadata: { processId: key, ...ownMetadata(store, 'workdir') },
    ...(signal && { signal }),
  });
  const fields = { key, blobId, sessionId: threadId, endState, request };
  const snapshotId = await insertSnapshot(store, { ...fields, ...(details && { details }) });
  await pruneSnapshots(store, key, keep);
  return { snapshotId };
}
