import { TaskError } from '../../errors.js';
import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import { releaseLease } from '../../store/leases.js';
import { fingerprint } from '../../store/seed-archive.js';
import { saveBack } from '../../store/seeds.js';
import type { KeepingHost } from '../model/host-context.js';
import { archiveJournal } from './archive-journal.js';
import { readOwner } from '../../task-folder/task-manifest.js';
import { readProcessRecord, reapProcess } from '../../task-folder/process-record.js';
import { readAuth } from '../account/read-auth.js';
import { removeFolder } from '../../task-folder/remove-folder.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';

interface Reaping {
  /** The reason shown to readers of its events; null: there is nothing to read. */
  readonly closingReport: string | null;
  /** Called between the end of Codex and the removal of the folder; an error keeps the folder in place. */
  readonly keepWork: () => Promise<void>;
  /** This lease is not released. */
  readonly kept?: LeaseRef | null;
}

/**
 * Cleans up a task here: stops Codex, saves a rotated credential, releases the lease and removes the folder. The
 * folder stays when credential or work could not be saved.
 */
export async function reapTask(
  host: KeepingHost,
  folder: TaskFolder,
  { closingReport, keepWork, kept = null }: Reaping,
): Promise<void> {
  const record = await readProcessRecord(folder);
  await reapProcess(folder, host.log);
  const owned = await readOwner(folder.taskJson);
  if (owned?.lease) {
    const bytes = await readAuth(folder);
    const print = bytes && fingerprint(bytes);
    if (bytes && print !== null && print !== record?.savedSha256)
      await saveLeftover(host, owned.ref, owned.lease, bytes);
    if (!isSame(owned.lease, kept)) await releaseLease(host.store, owned.lease);
  }
  await keepWork();
  if (closingReport !== null) await archiveJournal(host.config.dataDir, folder, closingReport);
  await removeFolder(folder.root);
  host.log.warn({ taskId: folder.taskId }, 'task.reaped');
}

/** The task's workflow is told when it asks for the session that is gone. */
async function saveLeftover(host: KeepingHost, ref: TaskRef, lease: LeaseRef, bytes: Buffer): Promise<void> {
  const { taskId } = ref;
  const result = await saveBack(host.store, lease, bytes, { taskId });
  if (result.kind === 'saved') host.accounts.saved++;
  if (result.kind !== 'quarantined') return;
  host.accounts.quarantined++;
  const { seedId } = lease;
  const { reason, quarantineId } = result;
  host.log.error({ taskId, seedId, reason, quarantineId }, 'credential.quarantined');
  const message = `Lease lost on seed ${seedId}: ${reason}; the credential that codex refreshed is in quarantine as ${quarantineId}`;
  host.tasks.noteLost(ref, new TaskError('LeaseLost', message));
}

const isSame = (one: LeaseRef, other: LeaseRef | null) =>
  one.seedId === other?.seedId && one.holder === other.holder && one.leaseEpoch === other.leaseEpoch;
