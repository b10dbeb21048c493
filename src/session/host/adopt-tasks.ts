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
 * Takes up the tasks that an earlier worker left in this data folder: a codex that lives is connected again,
 * one that died is started again on the same thread. What has no workflow, no session yet or no lease any
 * more is put back. Each workflow is told, so that its long steps come here at once. What fails is left as it is
 * for the next call.
 * @param evicted tasks that go on, or went on, elsewhere: they are let go
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
    // One that is known here was claimed, or taken up, meanwhile. One that did not go yet goes at the next renewal.
    const assignmentId = (await readOwner(folder.taskJson))?.ref.assignmentId;
    if (!isKnown(folder) && !(assignmentId && host.right.isToEvict(assignmentId)))
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

/** Between two calls where one failed, as with a database that does not answer. Milliseconds. */
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
  // Its workflow has gone on elsewhere: what is here is the past.
  if (!(await isOurs(host, kept.ref, kept.moved)))
    return reapTask(host, folder, { closingReport: null, keepWork: () => keepOnlyCopy(host, folder) });
  const { ref, lease } = kept;
  if (ledger.some(({ t }) => t === 'ending')) {
    await takeUpStopped(host, folder, kept, () => adoptEnding(host, kept, folder));
    return signalRestarted(host, ref, lease);
  }
  if (kept.parked && threadId !== null) {
    // It has a lease still when the worker before did not come to its last save.
    await takeUpStopped(host, folder, kept, () => adoptParked(host, folder, kept, threadId));
    return signalRestarted(host, ref, lease);
  }
  // One whose time is over is taken again right before its codex is started.
  const lost = lease && (await isTaken(host, lease, folder));
  if (lost)
    host.tasks.noteLost(
      ref,
      new TaskError('LeaseLost', `Lease lost on seed ${lease.seedId} while the worker was away`),
    );
  if (threadId === null || lost) {
    await reap('its lease was lost while the worker was away');
    // Codex never began: what its workflow begins next has no assignment to make way for.
    if (threadId === null) await noteGone(host, ref);
    return signalRestarted(host, ref);
  }
  await adopt(host, folder, kept, threadId, reap);
}

/** Goes on with the session of a task; one that cannot be gone on with is put back. */
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
    // One that nobody renewed was stopped for that, which is no fault of codex.
    const losses = await lossesOf(prepared, lives || isStoppedByFence(host, prepared, record));
    const session = await sessionAgain(host, prepared, record, stopping.signal);
    enterLive(host, { is: 'live', ref, stopping, prepared, session, mounted: true, losses });
    if (lease) watchTask(host, ref, lease);
    session.thread.turns.begin();
    session.link.hostRestarted(backOn(host, lease));
    session.link.sessionChanged(session.thread.report());
    host.log.info({ taskId }, 'task.adopted');
  } catch (error) {
    host.log.error({ taskId, reason: reasonOf(error) }, 'task.adopt.failed');
    await records.journal.close();
    await records.ledger.close();
    // Errors worth retrying are no reason to give the task up.
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
 * Takes up a task that gets no codex now. The steps of its workflow save its credential and give it back; until they
 * come, and Temporal may be away for longer than a lease, both are kept here.
 */
async function takeUpStopped(
  host: KeepingHost,
  folder: TaskFolder,
  { ref, lease }: { ref: TaskRef; lease: LeaseRef | null },
  takeUp: () => Promise<void>,
): Promise<void> {
  // Where the database does not say, that is for its steps to hear.
  const answer = lease && (await takeUpLease(host, folder, lease));
  await takeUp();
  if (lease && answer !== 'taken') watchTask(host, ref, lease);
}

/** @throws TaskError `Unavailable` when the database does not say: the next call asks again */
async function isTaken(host: KeepingHost, lease: LeaseRef, folder: TaskFolder): Promise<boolean> {
  if (await isFenced({ folder })) return false;
  const answer = await takeUpLease(host, folder, lease);
  if (answer === 'unknown') throw new TaskError('Unavailable', `Nobody says whose seed ${lease.seedId} is`);
  return answer === 'taken';
}

/**
 * How often its codex ended without a completed turn between, counted on when it ended with the worker before.
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

/** The workflow of a task that is not taken up runs its steps again too, and hears from them why. */
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
