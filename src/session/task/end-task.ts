import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { reasonOf } from '../../errors.js';
import type { CaptureArguments, CloseArguments, SessionStopped, TaskRef } from '../../contract/activities.js';
import { assignLeased } from '../../store/assign-seed.js';
import { putCapturedSeed } from '../../store/captured-seed.js';
import { isValidAuth } from '../../store/seed-archive.js';
import { forgetTaskState } from '../../store/task-state.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { noteGone } from './note-gone.js';
import { readOwner } from '../../task-folder/task-manifest.js';
import { appendClosed } from '../conversation/last-events.js';
import type { Journal } from '../../journal/journal.js';
import { rereadLedger } from '../../task-folder/ledger.js';
import { readAuth } from '../account/read-auth.js';
import { keepFromNow } from './keep-from-now.js';
import { removeFolder } from '../../task-folder/remove-folder.js';
import { reapProcess } from '../../task-folder/process-record.js';
import { saveCredential } from '../account/save-credential.js';
import { tryToNote } from './try-to-note.js';
import { endSnapshots } from '../../snapshots/snapshots-under-way.js';
import {
  endedFolder,
  endedJournal,
  taskFolder,
  unsavedFolder,
  type TaskFolder,
} from '../../task-folder/task-folder.js';

/**
 * Ends a task's session for good and records that first, so that a later worker continues with its end. A full disk
 * does not keep it from stopping.
 */
export async function endForGood(
  host: Pick<HostContext, 'tasks' | 'log'>,
  ref: TaskRef,
): Promise<SessionStopped> {
  const isNoted = await noteEnding(host, ref);
  await endSession(host, ref);
  if (!isNoted) await noteEnding(host, ref);
  const task = host.tasks.find(ref.taskId);
  const isLive = task?.kind === 'live' && task.ref.assignmentId === ref.assignmentId;
  return { warnings: isLive ? task.session.warnings : [] };
}

async function noteEnding(host: Pick<HostContext, 'tasks' | 'log'>, ref: TaskRef): Promise<boolean> {
  const task = host.tasks.find(ref.taskId);
  if (task?.ref.assignmentId !== ref.assignmentId || (task.kind !== 'live' && task.kind !== 'recovering'))
    return true;
  return tryToNote(host, ref.taskId, () => task.prepared.ledger.write({ t: 'ending' }));
}

/**
 * Ends a task's session: clients can no longer act, running activities end, and Codex with all it started is gone
 * when this returns. `atOnce`: its lease is lost, so Codex must not refresh any more.
 */
export async function endSession(
  host: Pick<HostContext, 'tasks'>,
  ref: TaskRef,
  { atOnce = false } = {},
): Promise<void> {
  const task = host.tasks.find(ref.taskId);
  if (!task || task.ref.assignmentId !== ref.assignmentId) return;
  task.stopping.abort();
  if (task.kind === 'live') await task.session.stop({ atOnce });
  await host.tasks.inTurn(ref.taskId, async () => {
    const now = host.tasks.find(ref.taskId);
    if (now?.kind !== 'live') return;
    await now.session.stop({ atOnce });
    // Its lease is released after this.
    await now.prepared.account.tokens?.settled();
  });
}

/** How long the last event waits for room on the disk. Milliseconds. */
const ROOM_MS = 10_000;
const LOOK_MS = 500;

/**
 * Waits for room for the last event on a full disk.
 * @throws the disk's error when none is free in time
 */
async function sayLast(journal: Journal, say: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + ROOM_MS;
  while (!journal.ended) {
    try {
      await journal.mend();
      await say();
      return await journal.flushed();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(LOOK_MS);
    }
  }
}

/** How long slow readers may read on when the task ends. Milliseconds. */
const STREAMS_END_MS = 5_000;

/**
 * Puts the task's credential into a pool. A leased seed is never copied but assigned itself, to a pool if it has
 * none. Idempotent.
 */
export async function captureSeed(
  host: Pick<HostContext, 'config' | 'store' | 'log'>,
  { ref, lease, pool, metadata }: CaptureArguments,
): Promise<{ seedId: string | null; skipped: string | null }> {
  const placement = { ...(pool !== null && { pool }), metadata };
  if (lease) {
    const assigned = await assignLeased(host.store, lease, placement);
    if (!assigned) return { seedId: null, skipped: 'its lease is lost' };
    // Whoever starts a task must not be able to take accounts out of a pool that others use.
    const isElsewhere = pool !== null && assigned.pool !== pool;
    return { seedId: lease.seedId, skipped: isElsewhere ? `it stays in the pool ${assigned.pool}` : null };
  }
  const authJson = await readAuth(taskFolder(host.config.dataDir, ref.taskId));
  if (!authJson || !isValidAuth(authJson)) return { seedId: null, skipped: 'no valid auth.json in its home' };
  const { taskId } = ref;
  const { seedId, quarantineId } = await putCapturedSeed(host.store, ref, { authJson, ...placement });
  if (quarantineId !== null) host.log.error({ taskId, seedId, quarantineId }, 'credential.quarantined');
  return { seedId, skipped: null };
}

/**
 * Writes the task's last event, ends its streams, keeps its journal for late readers and removes its folder.
 * Idempotent.
 */
export async function closeTask(
  host: KeepingHost,
  { ref, reason, outcome, keepWork, undelivered = [] }: CloseArguments,
): Promise<void> {
  const { dataDir } = host.config;
  const folder = taskFolder(dataDir, ref.taskId);
  const task = host.tasks.find(ref.taskId);
  if (!task || task.ref.assignmentId !== ref.assignmentId) return;
  // No auth.json is removed before it is in the database, which it is unless the last save failed.
  if (task.kind !== 'claimed' && task.prepared.lease)
    await saveCredential(host, task.prepared, task.prepared.lease);
  if (task.kind !== 'claimed') {
    const { journal, ledger } = task.prepared;
    const { past } = await rereadLedger(ledger, folder.ledger).catch(() => ledger);
    // Messages whose record failed wait in the session only.
    const waiting = task.kind === 'live' ? task.session.thread.queue.ids : [];
    await sayLast(journal, async () => {
      const lost = [...waiting, ...undelivered];
      await appendClosed(journal, past, folder, { reason, outcome, undelivered: lost });
    }).catch((error: unknown) =>
      host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'journal.unfinished'),
    );
    await journal.close(STREAMS_END_MS);
    await ledger.close();
    const kept = endedJournal(dataDir, ref.taskId);
    await mkdir(endedFolder(dataDir), { recursive: true, mode: 0o700 });
    const hadClients = task.kind === 'prepared' ? task.parked === true : task.mounted;
    // An earlier call may have put it there already.
    if (hadClients && existsSync(folder.journal)) {
      await rm(kept, { recursive: true, force: true });
      await keepFromNow(folder.journal, kept);
    }
    if (hadClients)
      await forgetTaskState(host.store, ref.runId).catch((error: unknown) =>
        host.log.warn({ taskId: ref.taskId, reason: reasonOf(error) }, 'task.state.remove.failed'),
      );
  }
  const owner = await readOwner(folder.taskJson);
  // A claim that was never prepared may find what an earlier assignment left, which has its own end.
  if (task.kind !== 'claimed' || !owner || owner.ref.assignmentId === ref.assignmentId) {
    await reapProcess(folder, host.log);
    await endSnapshots(folder.root);
    if (keepWork) await setAside(host, folder);
    await removeOrPutAway(host, folder);
  }
  await noteGone(host, ref);
  host.tasks.remove(ref.taskId);
}

/** Sets aside a folder that cannot be removed, so that neither its task's end nor another task waits for it. */
async function removeOrPutAway(host: Pick<HostContext, 'config' | 'log'>, folder: TaskFolder): Promise<void> {
  try {
    await removeFolder(folder.root);
  } catch (error) {
    const path = join(unsavedFolder(host.config.dataDir), `${folder.name}-${Date.now()}-unremoved`);
    await mkdir(unsavedFolder(host.config.dataDir), { recursive: true, mode: 0o700 });
    await rename(folder.root, path);
    host.log.error({ taskId: folder.taskId, path, reason: reasonOf(error) }, 'folder.remove.failed');
  }
}

/** Sets aside a workdir that could not be saved: it is the only copy, and a person decides about it. */
export async function setAside(host: Pick<HostContext, 'config' | 'log'>, folder: TaskFolder): Promise<void> {
  // An earlier call may have done it.
  if (!existsSync(folder.work)) return;
  const kept = join(unsavedFolder(host.config.dataDir), `${folder.name}-${Date.now()}`);
  await mkdir(kept, { recursive: true, mode: 0o700 });
  await rename(folder.work, join(kept, 'work'));
  const sessions = join(folder.codexHome, 'sessions');
  await rename(sessions, join(kept, 'sessions')).catch(() => undefined);
  host.log.error({ taskId: folder.taskId, path: kept }, 'workdir.unsaved');
}
