import { existsSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import type { PrepareArguments } from '../../contract/activities.js';
import { refuseBadPatterns } from '../../input/patterns.js';
import { TaskError } from '../../errors.js';
import { requireFreeSpace } from '../../process/free-space.js';
import { databaseNow } from '../../store/mongo.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { openAccount } from '../account/task-account.js';
import { requireLease } from '../account/renew-task-lease.js';
import { configureCodex } from './configure-codex.js';
import { fillWorkdir, type Filled, type Preparation } from './fill-workdir.js';
import { noteGone } from './note-gone.js';
import { isOurs } from './is-ours.js';
import { recallEvents } from '../recall/recall-events.js';
import { openRecords } from './open-records.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { writeTaskManifest, noteBegun, readOwner } from '../../task-folder/task-manifest.js';
import { reapTask } from './reap-task.js';
import { saveOrphan } from './save-orphan.js';
import { lostEvents, takeOver } from './restore-task.js';
import { endSnapshots } from '../../snapshots/snapshots-under-way.js';
import { takeOverHookRequests } from '../agent-channel/take-over-hook-requests.js';
import { endedFolder, endedJournal, taskFolder, unsavedFolder } from '../../task-folder/task-folder.js';
import { watchTask } from './watch-task.js';

/**
 * Creates the task's folder: Codex's home with config and credential, the workdir fresh or restored, the journal.
 * First removes the folder and the Codex of an earlier run. Idempotent. Stops between stages when the task is to end;
 * `closeTask` then handles what is there.
 * @throws TaskError `ClaimLapsed`, `LeaseRefused`, `NoCredential`, `BadInput`, `SnapshotUnreadable`, `HostUnfit` when
 * the disk is full
 */
export async function prepareTask(
  host: HostContext,
  { ref, spec, lease, moved = null }: PrepareArguments,
): Promise<PreparedTask> {
  const known = host.tasks.find(ref.taskId);
  if (known?.ref.assignmentId !== ref.assignmentId)
    throw new TaskError('ClaimLapsed', `Task ${ref.taskId} has no claim on this host any more`);
  if (known.kind !== 'claimed') return known.prepared;
  const goOn = () => known.stopping.signal.throwIfAborted();
  goOn();
  refuseBadPatterns(spec);
  if (lease) await requireLease(host, ref, lease);
  if (lease) watchTask(host, ref, lease);
  await requireFreeSpace(host.config.dataDir, host.config.minFreeBytes);
  const folder = taskFolder(host.config.dataDir, ref.taskId);
  const task: Preparation = { ref, spec, lease, moved, folder, warnings: [], goOn };
  goOn();
  await clearEarlier(host, task);
  const begunAt = await makeFolders(host, task);
  goOn();
  const filled = await fillWorkdir(host, task);
  await configureCodex(host, task, filled);
  goOn();
  const records = await openTaskRecords(host, task, filled);
  await writeTaskManifest(folder, { ref, spec, lease, moved, begunAt });
  const account = openAccount(filled.seed?.fingerprint ?? null);
  const { threadId } = filled;
  const { warnings } = task;
  const prepared = { ref, spec, lease, folder, moved, ...records, account, threadId, warnings };
  host.tasks.set({ kind: 'prepared', ref, stopping: known.stopping, prepared });
  return prepared;
}

/** Ends an earlier assignment's leftovers, which may hold unsaved work and an unsaved credential. */
async function clearEarlier(
  host: KeepingHost,
  { ref, lease, moved, folder, goOn }: Preparation,
): Promise<void> {
  await endSnapshots(folder.root);
  if (existsSync(folder.root)) {
    const owner = await readOwner(folder.taskJson);
    const isEarlier = owner?.ref.assignmentId !== ref.assignmentId;
    const keepWork = async () => (isEarlier ? saveOrphan(host, folder) : undefined);
    await reapTask(host, folder, { closingReport: null, keepWork, kept: lease });
    if (owner && isEarlier) await noteGone(host, owner.ref);
  }
  goOn();
  if (!(await isOurs(host, ref, moved)))
    throw new TaskError(
      'ClaimLapsed',
      `Task ${ref.taskId} still has an earlier assignment, which has to end first`,
    );
}

/** Creates the folders and records their owner. Returns when the task began here, by the database's clock. */
async function makeFolders(host: KeepingHost, { ref, lease, folder }: Preparation): Promise<string> {
  const { dataDir } = host.config;
  const begunAt = (await databaseNow(host.store)).toISOString();
  await rm(endedJournal(dataDir, ref.taskId), { recursive: true, force: true });
  // Both folders must exist before the sandbox profile can deny them to commands.
  const kept = [endedFolder(dataDir), unsavedFolder(dataDir)];
  for (const path of [folder.root, folder.work, folder.codexHome, folder.journal, ...kept])
    await mkdir(path, { recursive: true, mode: 0o700 });
  await noteBegun(folder, ref, lease);
  // Its deadline can be written now.
  if (lease) await requireLease(host, ref, lease);
  return begunAt;
}

/** Opens journal and ledger, with the content that the host before wrote. */
async function openTaskRecords(
  host: KeepingHost,
  { ref, spec, moved, folder, warnings }: Preparation,
  { threadId, isRestored }: Filled,
) {
  const lostUpTo = moved && (await lostEvents(host, ref, spec, moved));
  const records = await openRecords(host, { ref, moved }, folder, lostUpTo);
  warnings.push(...records.warnings);
  if (moved) records.ledger = await takeOverHookRequests(records, folder.work, moved.hookRequests);
  const recalled =
    isRestored && threadId !== null
      ? await recallEvents(records.journal, records.ledger, threadId, folder)
      : null;
  if (moved) await takeOver(host, ref, moved, records, recalled);
  return { ...records, recalled };
}
