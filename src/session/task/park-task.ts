import { rm } from 'node:fs/promises';
import { TaskError } from '../../errors.js';
import type { LeaseRef, ParkArguments, TaskRef } from '../../contract/activities.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { ownsTokens } from '../account/host-tokens.js';
import { requireLease } from '../account/renew-task-lease.js';
import { writeTaskManifest, readTaskManifest, type TaskManifest } from '../../task-folder/task-manifest.js';
import { openInbox } from '../conversation/inbox.js';
import { rereadLedger } from '../../task-folder/ledger.js';
import { openOrphanedTask } from './orphaned-task.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { installCredential } from '../account/install-credential.js';
import { readProcessRecord, reapProcess } from '../../task-folder/process-record.js';
import { recallEvents } from '../recall/recall-events.js';
import { nextAccount } from '../account/task-account.js';
import { saveCredential } from '../account/save-credential.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { tryToNote } from './try-to-note.js';
import { watchTask } from './watch-task.js';
import { appendEvent } from '../../journal/append-event.js';
type Stopped = Extract<HostTask, { is: 'prepared' }>;

/**
 * Lets a task wait for its account's quota: codex stops, its credential goes back, and its turn is done again
 * later. Folder, journal and streams stay, and messages are taken meanwhile. Idempotent.
 * @throws TaskError `SessionNotHere`
 */
export async function parkTask(host: KeepingHost, args: ParkArguments): Promise<void> {
  const { ref } = args;
  const parked = await stopCodex(host, args);
  // As it is here: it may have been taken again, of which the workflow has not heard.
  const lease = parked.prepared.lease ?? args.lease;
  const { prepared } = parked;
  await prepared.account.tokens?.settled();
  const { folder } = prepared;
  if (lease) await saveCredential(host, prepared, lease);
  host.tasks.endWatch(ref.taskId);
  // From now on the seed may be another's: a copy that stayed could only be mistaken for a newer one.
  await rm(folder.authJson, { force: true });
  const before = await readTaskManifest(folder.taskJson);
  const begun = before?.begunAt !== undefined && { begunAt: before.begunAt };
  const { spec, moved } = prepared;
  await writeTaskManifest(folder, { ...begun, ref, spec, lease: null, moved, parked: true });
  host.tasks.set({ ...parked, prepared: withoutSeed(prepared) });
  host.log.info({ taskId: ref.taskId, until: args.until }, 'task.parked');
}

async function stopCodex(
  host: Pick<HostContext, 'tasks' | 'log'>,
  { ref, turnId, until }: ParkArguments,
): Promise<Stopped> {
  const task = host.tasks.find(ref.taskId);
  if (task?.is === 'prepared' && task.parked && task.ref.assignmentId === ref.assignmentId) {
    await reapProcess(task.prepared.folder, host.log);
    await noteSuspended(task.prepared, turnId);
    return task;
  }
  const { prepared, session, stopping } = host.tasks.live(ref);
  const { folder, journal, ledger, lease, spec } = prepared;
  // What does not find its place on the disk now does so after the stop, or at the step's next try.
  const isNoted = await tryToNote(host, ref.taskId, async () => {
    await ledger.write({ t: 'suspended', turnId });
    await writeTaskManifest(folder, { ref, spec, lease, moved: prepared.moved, parked: true });
  });
  appendEvent(journal, { type: 'x-optio-parked', until });
  const { threadId } = session.thread.report();
  // Clients come to its inbox before codex stops: no message is refused meanwhile.
  const waiting: PreparedTask = { ...prepared, threadId, inbox: openInbox(ledger) };
  const parked: Stopped = { is: 'prepared', parked: true, ref, stopping, prepared: waiting };
  host.tasks.set(parked);
  await session.stop();
  await rm(folder.processJson, { force: true });
  if (!isNoted) await noteSuspended(waiting, turnId);
  return parked;
}

/** Notes the turn that is to be done again, unless that is so already. @throws what the disk says */
async function noteSuspended({ ledger, folder }: PreparedTask, turnId: string): Promise<void> {
  const { past } = await rereadLedger(ledger, folder.ledger);
  const last = past.findLast((each) => each.t === 'suspended');
  if (last?.turnId !== turnId) await ledger.write({ t: 'suspended', turnId });
}

/**
 * Makes a parked task ready for codex again, with another credential or the same: its thread goes on, and the
 * turn that the limit ended is to be sent again. Idempotent.
 * @throws TaskError `SessionNotHere`; `LeaseRefused`: the task stays parked
 */
export async function unparkTask(
  host: KeepingHost,
  { ref, lease }: { ref: TaskRef; lease: LeaseRef | null },
): Promise<void> {
  const task = host.tasks.find(ref.taskId);
  if (!task || task.is === 'claimed' || task.ref.assignmentId !== ref.assignmentId)
    throw new TaskError('SessionNotHere', `Task ${ref.taskId} is not parked on this host`);
  if (task.is !== 'prepared' || !task.parked) return;
  const { prepared, stopping } = task;
  const { folder, journal, spec } = prepared;
  if (lease) await requireLease(host, ref, lease);
  const seed = lease && (await installCredential(host, lease, folder, ownsTokens(spec)));
  await journal.flushed();
  const ledger = await rereadLedger(prepared.ledger, folder.ledger);
  const recalled = await recallEvents(journal, ledger, prepared.threadId!, folder);
  appendEvent(journal, { type: 'x-optio-unparked' });
  await writeTaskManifest(folder, { ref, spec, lease, moved: prepared.moved });
  const ready = { ...prepared, lease, recalled, ledger };
  host.tasks.set({
    is: 'prepared',
    unparked: true,
    ref,
    stopping,
    prepared: { ...ready, account: nextAccount(prepared.account, seed?.fingerprint ?? null) },
  });
  if (lease) watchTask(host, ref, lease);
}

/** Parks a task again whose seed went to another before codex was started on it. Idempotent. */
export async function parkAgain(
  host: Pick<HostContext, 'tasks'>,
  { ref, stopping, prepared }: Stopped,
): Promise<void> {
  const { folder, spec, moved } = prepared;
  host.tasks.endWatch(ref.taskId);
  host.tasks.forgetLoss(ref);
  await rm(folder.authJson, { force: true });
  await writeTaskManifest(folder, { ref, spec, lease: null, moved, parked: true });
  host.tasks.set({ is: 'prepared', parked: true, ref, stopping, prepared: withoutSeed(prepared) });
}

/** The next lease brings an account and tokens of its own. */
const withoutSeed = (task: PreparedTask): PreparedTask => ({
  ...task,
  lease: null,
  account: nextAccount(task.account, null),
});

/** Takes up a parked task that an earlier worker left; a codex that it did not come to stop is stopped. */
export async function adoptParked(
  host: KeepingHost,
  folder: TaskFolder,
  kept: TaskManifest,
  threadId: string,
): Promise<void> {
  const { ref } = kept;
  const record = await readProcessRecord(folder);
  await reapProcess(folder, host.log);
  const prepared = await openOrphanedTask(host, kept, folder, threadId, record);
  host.tasks.set({ is: 'prepared', parked: true, ref, stopping: new AbortController(), prepared });
  host.log.info({ taskId: ref.taskId }, 'task.adopted');
}
