import { existsSync } from 'node:fs';
import { SingleFlight } from '../../async/single-flight.js';
import { reasonOf, TaskError } from '../../errors.js';
import type { TaskRef } from '../../contract/activities.js';
import { stopProcess } from '../../process/stop-process.js';
import { acknowledgeEviction, type Eviction } from '../../store/hosts.js';
import { findCheckpoint } from '../../store/task-state.js';
import { setAside } from '../task/end-task.js';
import type { HostContext, SavingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { noteGone } from '../task/note-gone.js';
import { readTaskManifest, readOwner } from '../../task-folder/task-manifest.js';
import { readLedger, threadIn } from '../../task-folder/ledger.js';
import { openOrphanedTask } from '../task/orphaned-task.js';
import { readProcessRecord, reapProcess } from '../../task-folder/process-record.js';
import { reapTask } from '../task/reap-task.js';
import { removeFolder } from '../../task-folder/remove-folder.js';
import { saveCredential } from '../account/save-credential.js';
import { saveTask } from '../task/save-task.js';
import { stopAndNote } from '../task/stop-and-note.js';
import { taskFolder, type TaskFolder } from '../../task-folder/task-folder.js';

type Begun = Exclude<HostTask, { kind: 'claimed' }>;

/** Evicts tasks as requests arrive, one eviction per task at a time, starting once `ready` resolves. */
export function evictTasks(
  host: HostContext,
  ready: Promise<void>,
): { evict(eviction: Eviction): void; close(): Promise<void> } {
  const leaving = new SingleFlight<void>();
  return {
    evict(eviction) {
      const { taskId, assignmentId } = eviction.ref;
      const leave = () =>
        ready
          .then(() => evictTask(host, eviction))
          .catch((error: unknown) =>
            host.log.error({ taskId, reason: reasonOf(error) }, 'task.evict.failed'),
          );
      void leaving.run(assignmentId, leave);
    },
    close: () => leaving.idle(),
  };
}

/**
 * Evicts an assignment that another host follows: stops Codex, saves or quarantines its credential, removes the
 * folder and takes it off the host's list of evictions. Saves what is not outdated for the next host. Leaves another
 * assignment of the task alone. Idempotent.
 */
export async function evictTask(host: HostContext, { ref, isOutdated }: Eviction): Promise<void> {
  const { taskId } = ref;
  const maySave = !isOutdated;
  const hadTask = await saveAssignment(host, ref, maySave);
  if (hadTask && maySave)
    await host.signalWorkflow(ref, 'taskEvicted', { hostId: host.hostId }).catch((error: unknown) => {
      // The requester sees the list.
      host.log.warn({ taskId, reason: reasonOf(error) }, 'task.evict.report.failed');
    });
  await acknowledgeEviction(host.store, host.hostId, ref);
  host.log.warn({ taskId, maySave }, 'task.evicted');
}

/**
 * Ends an assignment here and saves it for the next one, unless it is outdated. Leaves another assignment of the task
 * alone. False: no worker ran it. Idempotent.
 */
export async function saveAssignment(host: HostContext, ref: TaskRef, maySave = true): Promise<boolean> {
  const { taskId, assignmentId } = ref;
  const task = host.tasks.find(taskId);
  const here = task?.ref.assignmentId === assignmentId ? task : null;
  const folder = taskFolder(host.config.dataDir, taskId);
  if (here?.kind === 'claimed') host.tasks.remove(taskId);
  else if (here) await leave(host, here, maySave);
  else if (!task)
    await host.tasks.inTurn(taskId, async () => {
      const owner = await readOwner(folder.taskJson);
      if (!existsSync(folder.root) || (owner && owner.ref.assignmentId !== assignmentId)) return;
      const saved = maySave && (await saveBeforeEviction(host, folder));
      const keepWork = async () => (saved ? undefined : keepOnlyCopy(host, folder));
      await reapTask(host, folder, { closingReport: null, keepWork });
    });
  await noteGone(host, ref);
  return here !== null;
}

/** Saves the task and hands it to another host. A running turn is repeated there. */
export async function handOver(host: HostContext, task: Begun): Promise<void> {
  await leave(host, task, true);
  await host.signalWorkflow(task.ref, 'taskEvicted', { hostId: host.hostId });
  host.log.info({ taskId: task.ref.taskId }, 'task.moved');
}

async function leave(host: HostContext, task: Begun, maySave: boolean): Promise<void> {
  const { ref, prepared } = task;
  const { folder, journal, ledger, lease } = prepared;
  host.tasks.noteLeaving(
    ref,
    new TaskError('HostLost', `Host ${host.hostId} has evicted task ${ref.taskId}`),
  );
  const turnId = task.kind === 'live' ? task.session.thread.turns.runningId : null;
  await stopAndNote(host, task, turnId);
  if (lease) await saveCredential(host, prepared, lease);
  await host.tasks.inTurn(ref.taskId, async () => {
    await journal.end();
    const threadId = threadOf(task);
    const saved = maySave && threadId !== null && (await saveLast(host, task, threadId));
    await journal.close();
    await ledger.close();
    await reapProcess(folder, host.log);
    const isOnlyCopy = !saved && threadId !== null && !(await hasCheckpoint(host, prepared));
    if (isOnlyCopy) await setAside(host, folder);
    await removeFolder(folder.root);
    await noteGone(host, ref);
    host.tasks.remove(ref.taskId);
  });
}

/** The same for an orphaned task: stops its Codex and reads the rest from its files. */
async function saveBeforeEviction(host: HostContext, folder: TaskFolder): Promise<boolean> {
  const kept = await readTaskManifest(folder.taskJson);
  const threadId = threadIn(await readLedger(folder.ledger));
  if (!kept || threadId === null) return false;
  const { ref } = kept;
  const record = await readProcessRecord(folder);
  if (record) await stopProcess(record, { codexHome: folder.codexHome, socketPath: folder.socket });
  const task = await openOrphanedTask(host, kept, folder, threadId, record);
  try {
    await saveTask(host, task, { threadId, isWhole: true });
    return true;
  } catch (error) {
    host.log.error({ taskId: ref.taskId, reason: reasonOf(error) }, 'task.save.failed');
    return false;
  } finally {
    await task.journal.close();
    await task.ledger.close();
  }
}

/** Sets aside the work that no checkpoint includes. */
export async function keepOnlyCopy(
  host: Pick<HostContext, 'config' | 'store' | 'log'>,
  folder: TaskFolder,
): Promise<void> {
  const kept = await readTaskManifest(folder.taskJson);
  const threadId = threadIn(await readLedger(folder.ledger));
  if (kept && threadId !== null && !(await hasCheckpoint(host, kept))) await setAside(host, folder);
}

/** The thread that Codex had here; null: Codex did not run, or the task ends. */
function threadOf(task: Begun): string | null {
  if (task.kind === 'live') return task.session.thread.report().threadId;
  const hasRun = task.kind === 'recovering' || (task.kind === 'prepared' && task.parked === true);
  return hasRun ? task.prepared.threadId : null;
}

async function saveLast(host: SavingHost, { prepared }: Begun, threadId: string): Promise<boolean> {
  try {
    await saveTask(host, prepared, { threadId, isWhole: true });
    return true;
  } catch (error) {
    host.log.error({ taskId: prepared.ref.taskId, reason: reasonOf(error) }, 'task.save.failed');
    return false;
  }
}

const hasCheckpoint = async (
  { store }: Pick<HostContext, 'store'>,
  { spec, ref }: Pick<Begun['prepared'], 'spec' | 'ref'>,
): Promise<boolean> => (await findCheckpoint(store, spec.snapshot.key, ref.runId)) !== null;
