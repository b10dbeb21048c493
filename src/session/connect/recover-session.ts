import { setTimeout as delay } from 'node:timers/promises';
import { reasonOf, TaskError, type ErrorCode } from '../../errors.js';
import { isAlive } from '../../process/process-identity.js';
import { stopProcess } from '../../process/stop-process.js';
import { isFenced, isStoppedByFence, leaseLost } from '../account/hold-seed.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { openInbox } from '../conversation/inbox.js';
import { attachSession, launchSession } from './launch-session.js';
import { rereadLedger, type Losses } from '../../task-folder/ledger.js';
import { readProcessRecord, type ProcessRecord } from '../../task-folder/process-record.js';
import type { WorkflowLink } from '../conversation/workflow-link.js';
import { MAX_LOSSES, NO_LOSSES } from '../../task-folder/losses.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { recallEvents } from '../recall/recall-events.js';
import { saveCredential } from '../account/save-credential.js';
import type { LiveSession, Loss } from '../model/live-session.js';
import { appendEvent } from '../../journal/append-event.js';

type LiveTask = Extract<HostTask, { kind: 'live' }>;
type RecoveringTask = Extract<HostTask, { kind: 'recovering' }>;

/** Makes a task live on this host, and restarts a crashed Codex on the same thread. */
export function enterLive(host: HostContext, task: LiveTask): void {
  host.tasks.set(task);
  void task.session.lost.then((loss) => onLoss(host, task, loss));
}

function onLoss(host: HostContext, task: LiveTask, { isAlive, reason }: Loss): void {
  const { ref, session, prepared, stopping, mounted } = task;
  const { thread, link } = session;
  if (host.tasks.find(ref.taskId) !== task) return;
  const lost = host.tasks.lossOf(ref);
  if (stopping.signal.aborted && lost) return thread.fail(lost.code, lost.message);
  if (stopping.signal.aborted) return thread.fail('CodexFailed', reason);
  if (thread.ending.isClosing) return thread.endWithout({ kind: 'closed' });
  const report = thread.report();
  const { turns } = report;
  const hasWorked = turns > (prepared.recalled?.turns ?? 0);
  const before = hasWorked ? NO_LOSSES : (task.losses ?? NO_LOSSES);
  // A stop after a missing renewal is no fault of Codex, however often.
  const isFenced = isStoppedByFence(host, prepared, session.record);
  const losses = isFenced ? before : { ...before, alone: before.alone + 1 };
  host.log.warn({ taskId: ref.taskId, reason, isAlive, isFenced, losses }, 'codex.lost');
  noteLoss(prepared, turns, losses);
  if (losses.alone >= MAX_LOSSES) return thread.fail('CodexFailed', inARow(reason));
  // Messages wait in an inbox of their own from here on, until the next session takes them.
  const inbox = openInbox(prepared.ledger);
  const waiting: RecoveringTask = {
    kind: 'recovering',
    ref,
    stopping,
    prepared: { ...prepared, inbox },
    mounted,
    failed: null,
  };
  host.tasks.set(waiting);
  appendEvent(prepared.journal, { type: 'x-optio-recovering', reason });
  link.sessionChanged({ ...report, activity: 'recovering' });
  session.leave({ isGone: !isAlive });
  void host.tasks.inTurn(ref.taskId, () => recover(host, waiting, session, losses));
}

const RETRY_MS = 1_000;

/** Errors worth retrying. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['CodexFailed', 'Unavailable']);

/** The database did not answer or the worker was frozen: no fault of Codex, and retried. */
const isUnavailable = (error: unknown): boolean => error instanceof TaskError && error.code === 'Unavailable';

/** Persist the count for the next worker; a failed write is ignored because the ledger failing ends the task anyway. */
function noteLoss({ ledger }: PreparedTask, turns: number, losses: Losses): void {
  void ledger.write({ t: 'lost', turns, losses }).catch(() => undefined);
}

/** Restarts Codex, or reconnects to it, until that succeeds or has failed too often. */
async function recover(
  host: HostContext,
  task: RecoveringTask,
  earlier: LiveSession,
  before: Losses,
): Promise<void> {
  const { ref, stopping, mounted } = task;
  // Its records are read again below; two readers of one log would handle its lines twice.
  await earlier.channel.close();
  const { turns } = earlier.thread.report();
  let last: ProcessRecord | null = earlier.record;
  for (let losses = before; ;) {
    try {
      stopping.signal.throwIfAborted();
      const prepared = await readAgain(host, task.prepared);
      const session = await sessionAgain(host, prepared, earlier.record, stopping.signal, earlier.link);
      enterLive(host, { kind: 'live', ref, stopping, prepared, session, mounted, losses });
      session.thread.turns.begin();
      session.link.sessionChanged(session.thread.report());
      host.log.info({ taskId: ref.taskId }, 'codex.recovered');
      return;
    } catch (error) {
      // A stop of the task leaves it as it is here.
      if (stopping.signal.aborted) return;
      const reason = reasonOf(error);
      host.log.warn({ taskId: ref.taskId, reason, losses }, 'codex.recovery.failed');
      const isFinal = error instanceof TaskError && !PASSING.has(error.code);
      const newest = await readProcessRecord(task.prepared.folder);
      // The stop of the previous Codex does not end a start without a process.
      const started = newest?.pid === last?.pid && newest?.startTime === last?.startTime ? null : newest;
      last = newest;
      const isFault = !isStoppedByFence(host, task.prepared, started) && !isUnavailable(error);
      if (isFault) losses = { ...losses, alone: losses.alone + 1 };
      noteLoss(task.prepared, turns, losses);
      if (!isFault && !isFinal) await delay(RETRY_MS);
      if (!isFinal && losses.alone < MAX_LOSSES) continue;
      const failed = isFinal ? error : new TaskError('CodexFailed', inARow(reason), { cause: error });
      return host.tasks.set({ ...task, failed });
    }
  }
}

/** Saves what Codex rotated before the restart; recalls the task from its files. */
async function readAgain(host: KeepingHost, task: PreparedTask): Promise<PreparedTask> {
  const { lease, journal, folder } = task;
  // After the lease's time this happens right before it is acquired again.
  if (lease && !(await isFenced(task))) {
    const saved = await saveCredential(host, task, lease).catch((error: unknown) => {
      // The file stays in place, and the watcher keeps trying.
      host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'credential.save.retry');
    });
    if (saved?.kind === 'quarantined') throw leaseLost(lease, saved.reason);
  }
  await journal.flushed();
  const ledger = await rereadLedger(task.ledger, folder.ledger);
  const threadId = ledger.past.findLast(({ t }) => t === 'thread');
  if (threadId?.t !== 'thread') throw new TaskError('CodexFailed', 'codex ended before it had a thread');
  const recalled = await recallEvents(journal, ledger, threadId.threadId, folder);
  return { ...task, ledger, threadId: threadId.threadId, recalled, warnings: [] };
}

/** Connects to the Codex of a task, or restarts it on the same thread. `link`: that of its last session. */
export async function sessionAgain(
  host: HostContext,
  task: PreparedTask,
  record: ProcessRecord | null,
  signal: AbortSignal,
  link?: WorkflowLink,
): Promise<LiveSession> {
  // Does not continue with a Codex that the guard is stopping or should have stopped.
  if (record && (await isAlive(record)) && !isStoppedByFence(host, task, record)) {
    try {
      return await attachSession(host, task, record, link);
    } catch (error) {
      host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'codex.attach.failed');
    }
  }
  // Ends what it left running too, so that nothing of the broken turn works next to the new one.
  const { codexHome, socket: socketPath } = task.folder;
  if (record) await stopProcess(record, { codexHome, socketPath, signal });
  return launchSession(host, task, signal, link);
}

const inARow = (reason: string) =>
  `codex ended ${MAX_LOSSES} times in a row without a completed turn between; the last time: ${reason}`;
