import type { SnapshotArguments } from '../step-arguments.js';
import { putBlob } from '../store/blobs.js';
import { ownMetadata } from '../store/secret-blobs.js';
import { insertSnapshot, pruneSnapshots } from '../store/snapshots.js';
import { archiveTask } from './archive-task.js';
import type { HostContext } from './host-context.js';
import { taskFolder } from './task-folder.js';

/** Saves the task's workdir and conversation: the blob first, then the document that names it. */
export async function takeSnapshot(
  host: HostContext,
  { ref, settings, endState, threadId }: SnapshotArguments,
): Promise<{ snapshotId: string }> {
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  const { key, keep, exclude } = settings;
  const { store } = host;
  const blobId = await putBlob(store, archiveTask(folder, exclude), {
    filename: 'workdir',
    metadata: { processId: key, ...ownMetadata(store, 'workdir') },
  });
  const snapshotId = await insertSnapshot(store, { key, blobId, sessionId: threadId, endState });
  await pruneSnapshots(store, key, keep);
  return { snapshotId };
}
