import { mkdir } from 'node:fs/promises';
import { bootId } from '../../process/boot-id.js';
import { TaskError } from '../../errors.js';
import type { PrepareArguments, TaskRef } from '../../contract/activities.js';
import { eventMark } from '../../store/task-state.js';
import type { HostContext, KeepingHost } from '../model/host-context.js';
import { replicatedLedger } from './replicated-ledger.js';
import { eventIds } from '../../journal/event-ids.js';
import { openInbox } from '../conversation/inbox.js';
import { openJournal } from '../../journal/open-journal.js';
import { openLedger, type Ledger } from '../../task-folder/ledger.js';
import { clearParts } from '../../workdir/store-upload.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { takenIn } from '../../task-folder/taken-messages.js';

/**
 * The files in which a session records its events.
 * @param lostUpTo see `JournalOptions`; null: nothing is lost; without it what the last reboot of this machine may
 * have lost
 */
export async function openRecords(
  host: KeepingHost,
  { ref, moved = null }: Pick<PrepareArguments, 'ref' | 'moved'>,
  folder: TaskFolder,
  lostUpTo?: number | null,
) {
  // An adopted task: nobody continues uploads that broke off with their worker.
  if (lostUpTo === undefined) await clearParts(folder.work);
  await mkdir(folder.journal, { recursive: true, mode: 0o700 });
  const written = await openLedger(folder.ledger);
  try {
    const lost = (await isAfterBoot(written)) && lostUpTo === undefined;
    const upTo = lost ? await eventMark(host.store, ref.runId) : (lostUpTo ?? null);
    const journal = await openJournal(folder.journal, {
      maxBytes: host.config.journalBytes,
      onFailure: (error) => journalFailed(host, ref, error),
      ids: eventIds(host, ref, moved?.generation ?? 0),
      ...(upTo !== null && { lostUpTo: upTo }),
    });
    const warnings = damageOf(written, journal.isCut);
    for (const reason of warnings) host.log.error({ taskId: ref.taskId, reason }, 'records.damaged');
    // The earlier worker may have ended between a message and the checkpoint after it.
    const arrived = new Set(takenIn(written.past).arrived);
    const ledger = replicatedLedger(host, ref, written, arrived);
    return { journal, ledger, inbox: openInbox(ledger), arrived, warnings };
  } catch (error) {
    await written.close();
    throw error;
  }
}

/**
 * Whether this machine was rebooted since the records were last opened: the newest events were shown, and are perhaps
 * lost. Unknown for records of a worker that did not note it.
 */
async function isAfterBoot(ledger: Ledger): Promise<boolean> {
  const id = await bootId();
  const before = ledger.past.findLast((each) => each.t === 'boot')?.id;
  if (id === null || id === before) return false;
  // Kept through the next loss of power; without room for it that loss goes unnoticed.
  await ledger
    .write({ t: 'boot', id })
    .then(() => ledger.sync())
    .catch(() => undefined);
  return before !== undefined;
}

function damageOf({ damaged }: Ledger, isCut: boolean): string[] {
  const lost = damaged > 0 ? [`${damaged} of the task’s records could not be read and are left out`] : [];
  return isCut ? [...lost, 'The newest events of the task were damaged and are left out'] : lost;
}

/** Ends a session without its journal: its events would be lost silently. */
function journalFailed(host: Pick<HostContext, 'tasks' | 'log'>, ref: TaskRef, error: Error): void {
  const message = `The events of task ${ref.taskId} cannot be written (${error.message}): free its host's disk`;
  host.log.error({ taskId: ref.taskId, reason: error.message }, 'journal.failed');
  const task = host.tasks.find(ref.taskId);
  if (task?.ref.assignmentId !== ref.assignmentId) return;
  if (task.kind === 'live') return task.session.thread.fail('HostUnfit', message);
  const unfit = new TaskError('HostUnfit', message);
  // Ends waits for its next session.
  if (task.kind === 'recovering') host.tasks.noteLost(ref, unfit);
  task.stopping.abort(unfit);
  host.tasks.changed();
}
