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
type Stopped = Extract<HostTask, { kind: 'prepared' }>;

/**
 * Parks a task until its account has quota: stops Codex and releases its credential; its turn is repeated later.
 * Folder, journal and streams stay, and messages are accepted meanwhile. Idempotent.
 * @throws TaskError `SessionNotHere`
 */
export async function parkTask(host: KeepingHost, args: ParkArguments): Promise<void> {
  const { ref } = args;
  const parked = await stopCodex(host, args);
  // Takes the lease as known here: it may have been acquired again, which the workflow does not know.
  const lease = parked.prepared.lease ?? args.lease;
  const { prepared } = parked;
  await prepared.account.tokens?.settled();
  const { folder } = prepared;
  if (lease) await saveCredential(host, prepared, lease);
  host.tasks.endWatch(ref.taskId);
  // From now on another may have the seed: a copy left here could be mistaken for a newer one.
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
  if (task?.kind === 'prepared' && task.parked && task.ref.assignmentId === ref.assignmentId) {
    await reapProcess(task.prepared.folder, host.log);
    await noteSuspended(task.prepared, turnId);
    return task;
  }
  const { prepared, session, stopping } = host.tasks.live(ref);
  const { folder, journal, ledger, lease, spec } = prepared;
  // Records that find no room on the disk now are written after the stop, or by the next attempt.
  const isNoted = await tryToNote(host, ref.taskId, async () => {
    await ledger.write({ t: 'suspended', turnId });
    await writeTaskManifest(folder, { ref, spec, lease, moved: prepared.moved, parked: true });
  });
  appendEvent(journal, { type: 'x-optio-parked', until });
  const { threadId } = session.thread.report();
  // Clients reach its inbox before Codex stops: no message is refused meanwhile.
  const waiting: PreparedTask = { ...prepared, threadId, inbox: openInbox(ledger) };
  const parked: Stopped = { kind: 'prepared', parked: true, ref, stopping, prepared: waiting };
  host.tasks.set(parked);
  await session.stop();
  await rm(folder.processJson, { force: true });
  if (!isNoted) await noteSuspended(waiting, turnId);
  return parked;
}

/**
 * Records the turn to repeat, unless that is recorded already.
 * @throws the disk's error
 */
async function noteSuspended({ ledger, folder }: PreparedTask, turnId: string): Promise<void> {
  const { past } = await rereadLedger(ledger, folder.ledger);
  const last = past.findLast((each) => each.t === 'suspended');
  if (last?.turnId !== turnId) await ledger.write({ t: 'suspended', turnId });
}

/**
 * Prepares a parked task for Codex again, with the same credential or another: its thread continues, and the turn
 * that the limit ended has to be repeated. Idempotent.
 * @throws TaskError `SessionNotHere`; `LeaseRefused`: the task stays parked
 */
export async function unparkTask(
  host: KeepingHost,
  { ref, lease }: { ref: TaskRef; lease: LeaseRef | null },
): Promise<void> {
  const task = host.tasks.find(ref.taskId);
  if (!task || task.kind === 'claimed' || task.ref.assignmentId !== ref.assignmentId)
    throw new TaskError('SessionNotHere', `Task ${ref.taskId} is not parked on this host`);
  if (task.kind !== 'prepared' || !task.parked) return;
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
    kind: 'prepared',
    unparked: true,
    ref,
    stopping,
    prepared: { ...ready, account: nextAccount(prepared.account, seed?.fingerprint ?? null) },
  });
  if (lease) watchTask(host, ref, lease);
}

/** Parks a task again whose seed went to another holder before Codex started on it. Idempotent. */
export async function parkAgain(
  host: Pick<HostContext, 'tasks'>,
  { ref, stopping, prepared }: Stopped,
): Promise<void> {
  const { folder, spec, moved } = prepared;
  host.tasks.endWatch(ref.taskId);
  host.tasks.forgetLoss(ref);
  await rm(folder.authJson, { force: true });
  await writeTaskManifest(folder, { ref, spec, lease: null, moved, parked: true });
  host.tasks.set({ kind: 'prepared', parked: true, ref, stopping, prepared: withoutSeed(prepared) });
}

/** The next lease brings its own account and tokens. */
const withoutSeed = (task: PreparedTask): PreparedTask => ({
  ...task,
  lease: null,
  account: nextAccount(task.account, null),
});

/** Adopts a parked task of an earlier worker, and stops a Codex that is still running. */
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
  host.tasks.set({ kind: 'prepared', parked: true, ref, stopping: new AbortController(), prepared });
  host.log.info({ taskId: ref.taskId }, 'task.adopted');
}
