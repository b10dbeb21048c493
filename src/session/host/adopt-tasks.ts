import type { HostRestarted } from '../../contract/index.js';
import { reasonOf, TaskError } from '../../errors.js';
import { isAlive } from '../../process/process-identity.js';
import { forgetTaskState } from '../../store/task-state.js';
import type { LeaseRef, TaskRef } from '../../contract/activities.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { adoptEnding } from '../task/adopt-ending.js';
import { adoptParked } from '../task/park-task.js';
import { readLedger, threadIn, type Losses } from '../../task-folder/ledger.js';
import { lossWithWorker, MAX_JOINT_LOSSES, recallLosses } from '../../task-folder/losses.js';
import { keepOnlyCopy, evictTask } from './evict-tasks.js';
import { endGoneAssignments } from './gone-assignments.js';
import type { Eviction } from '../../store/hosts.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { openRecords } from '../task/open-records.js';
import { readProcessRecord } from '../../task-folder/process-record.js';
import { reapTask } from '../task/reap-task.js';
import { isOurs } from '../task/is-ours.js';
import { noteGone } from '../task/note-gone.js';
import { readTaskManifest, readOwner, type TaskManifest } from '../../task-folder/task-manifest.js';
import { enterLive, sessionAgain } from '../connect/recover-session.js';
import { recallEvents } from '../recall/recall-events.js';
import { isFenced, isStoppedByFence, takeUpLease } from '../account/hold-seed.js';
import { openAccount } from '../account/task-account.js';
import { saveOrphan } from '../task/save-orphan.js';
import { watchTask } from '../task/watch-task.js';
import { taskFoldersIn, type TaskFolder } from '../../task-folder/task-folder.js';

/**
 * Adopts the tasks that an earlier worker left in this data folder: reconnects to a living Codex, restarts a dead one
 * on the same thread, and ends tasks without a workflow, a session or a lease. Tells each workflow, so that its long
 * activities come here at once. The next call retries what fails.
 * @param evicted tasks that continue elsewhere, to be evicted
 */
export async function adoptTasks(host: HostContext, evicted: readonly Eviction[] = []): Promise<void> {
  for (const eviction of evicted)
    await evictTask(host, eviction).catch((error: unknown) =>
      host.log.error({ taskId: eviction.ref.taskId, reason: reasonOf(error) }, 'task.evict.failed'),
    );
  await endGoneAssignments(host).catch((error: unknown) =>
    host.log.warn({ reason: reasonOf(error) }, 'assignments.sweep.failed'),
  );
  const folders = await taskFoldersIn(host.config.dataDir);
  const isKnown = ({ name }: TaskFolder) => host.tasks.hasFolder(name);
  const adopt = (folder: TaskFolder) => async () => {
    // A task known here was claimed or adopted meanwhile. An unfinished eviction is retried at the next renewal.
    const assignmentId = (await readOwner(folder.taskJson))?.ref.assignmentId;
    if (!isKnown(folder) && !(assignmentId && host.hostLease.isToEvict(assignmentId)))
      await adoptOrReap(host, folder);
  };
  await Promise.all(
    folders
      .filter((folder) => !isKnown(folder))
      .map((folder) =>
        host.tasks.inTurn(folder.taskId, adopt(folder)).catch((error: unknown) => {
          host.log.error({ taskId: folder.taskId, reason: reasonOf(error) }, 'task.adopt.failed');
          tryAgain(host);
        }),
      ),
  );
}

/** Pause before another call when one failed, as with a silent database. Milliseconds. */
const RETRY_MS = 5_000;
const retrying = new WeakSet<HostContext>();

function tryAgain(host: HostContext): void {
  if (retrying.has(host)) return;
  retrying.add(host);
  const again = () => {
    retrying.delete(host);
    if (!host.tasks.isDraining) void adoptTasks(host);
  };
  setTimeout(again, RETRY_MS).unref();
}

async function adoptOrReap(host: HostContext, folder: TaskFolder): Promise<void> {
  const kept = await readTaskManifest(folder.taskJson);
  const ledger = await readLedger(folder.ledger);
  const threadId = threadIn(ledger);
  const reap = (reason: string) =>
    reapTask(host, folder, {
      closingReport: threadId === null ? null : reason,
      keepWork: () => saveOrphan(host, folder),
    });
  if (!kept || !(await host.isRunning(kept.ref))) {
    await reap('its workflow has ended');
    if (kept) await forgetTaskState(host.store, kept.ref.runId);
    if (kept) await noteGone(host, kept.ref);
    return;
  }
  // Its workflow has moved: what is here is outdated.
  if (!(await isOurs(host, kept.ref, kept.moved)))
    return reapTask(host, folder, { closingReport: null, keepWork: () => keepOnlyCopy(host, folder) });
  const { ref, lease } = kept;
  if (ledger.some(({ t }) => t === 'ending')) {
    await takeUpStopped(host, folder, kept, () => adoptEnding(host, kept, folder));
    return signalRestarted(host, ref, lease);
  }
  if (kept.parked && threadId !== null) {
    // It still has a lease when the earlier worker did not reach its last save.
    await takeUpStopped(host, folder, kept, () => adoptParked(host, folder, kept, threadId));
    return signalRestarted(host, ref, lease);
  }
  // An expired lease is acquired again right before Codex starts.
  const lost = lease && (await isTaken(host, lease, folder));
  if (lost)
    host.tasks.noteLost(
      ref,
      new TaskError('LeaseLost', `Lease lost on seed ${lease.seedId} while the worker was away`),
    );
  if (threadId === null || lost) {
    await reap('its lease was lost while the worker was away');
    // Codex never ran: its workflow's next assignment has no predecessor to end.
    if (threadId === null) await noteGone(host, ref);
    return signalRestarted(host, ref);
  }
  await adopt(host, folder, kept, threadId, reap);
}

/** Continues the session of a task, or ends it when that is impossible. */
async function adopt(
  host: HostContext,
  folder: TaskFolder,
  kept: TaskManifest,
  threadId: string,
  reap: (reason: string) => Promise<void>,
): Promise<void> {
  const { ref, spec, lease, moved = null } = kept;
  const { taskId } = folder;
  const records = await openRecords(host, kept, folder);
  const record = await readProcessRecord(folder);
  const prepared: PreparedTask = {
    ref,
    spec,
    lease,
    moved,
    folder,
    ...records,
    account: openAccount(record?.savedSha256 ?? null),
    threadId,
    recalled: await recallEvents(records.journal, records.ledger, threadId, folder),
  };
  const stopping = new AbortController();
  try {
    const lives = record !== null && (await isAlive(record));
    // A Codex stopped for a missing renewal is not at fault.
    const losses = await lossesOf(prepared, lives || isStoppedByFence(host, prepared, record));
    const session = await sessionAgain(host, prepared, record, stopping.signal);
    enterLive(host, { kind: 'live', ref, stopping, prepared, session, mounted: true, losses });
    if (lease) watchTask(host, ref, lease);
    session.thread.turns.begin();
    session.link.hostRestarted(backOn(host, lease));
    session.link.sessionChanged(session.thread.report());
    host.log.info({ taskId }, 'task.adopted');
  } catch (error) {
    host.log.error({ taskId, reason: reasonOf(error) }, 'task.adopt.failed');
    await records.journal.close();
    await records.ledger.close();
    // Temporary errors do not give the task up.
    if (error instanceof TaskError && error.code === 'Unavailable') throw error;
    host.tasks.noteLost(
      ref,
      error instanceof TaskError ? error : new TaskError('CodexFailed', reasonOf(error)),
    );
    await reap(reasonOf(error));
    await signalRestarted(host, ref);
  }
}

/**
 * Adopts a task that gets no Codex now. Activities of its workflow save and release its credential; until they come,
 * and Temporal may be away for longer than a lease, both are kept here.
 */
async function takeUpStopped(
  host: KeepingHost,
  folder: TaskFolder,
  { ref, lease }: { ref: TaskRef; lease: LeaseRef | null },
  takeUp: () => Promise<void>,
): Promise<void> {
  // When the database does not say, its activities find out.
  const answer = lease && (await takeUpLease(host, folder, lease));
  await takeUp();
  if (lease && answer !== 'taken') watchTask(host, ref, lease);
}

/** @throws TaskError `Unavailable` when the database does not say: the next call asks again */
async function isTaken(host: KeepingHost, lease: LeaseRef, folder: TaskFolder): Promise<boolean> {
  if (await isFenced({ folder })) return false;
  const answer = await takeUpLease(host, folder, lease);
  if (answer === 'unknown')
    throw new TaskError('Unavailable', `The database does not say who holds seed ${lease.seedId}`);
  return answer === 'taken';
}

/**
 * How often its Codex ended without a completed turn in between, one more if it ended with the earlier worker.
 * @throws TaskError `CodexFailed` when that was too often
 */
async function lossesOf({ ledger, recalled }: PreparedTask, isNoLoss: boolean): Promise<Losses> {
  const turns = recalled?.turns ?? 0;
  const losses = isNoLoss ? null : lossWithWorker(ledger.past, turns);
  if (!losses) return recallLosses(ledger.past, turns);
  await ledger.write({ t: 'lost', turns, losses });
  if (losses.withWorker < MAX_JOINT_LOSSES) return losses;
  throw new TaskError(
    'CodexFailed',
    `codex ended ${losses.withWorker} times together with its worker, without a completed turn between`,
  );
}

/** The workflow of a task that is not adopted repeats its activities too, and they return the reason. */
async function signalRestarted(
  host: Pick<HostContext, 'signalWorkflow' | 'hostId'>,
  ref: TaskRef,
  lease: LeaseRef | null = null,
): Promise<void> {
  await host.signalWorkflow(ref, 'hostRestarted', backOn(host, lease));
}

const backOn = ({ hostId }: Pick<HostContext, 'hostId'>, lease: LeaseRef | null): HostRestarted => ({
  hostId,
  ...(lease && { lease }),
});
