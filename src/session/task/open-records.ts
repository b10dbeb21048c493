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
 * The files in which a session writes what happens.
 * @param lostUpTo see `JournalOptions`; null: nothing is lost; without it what the last start of this machine took along
 */
export async function openRecords(
  host: KeepingHost,
  { ref, moved = null }: Pick<PrepareArguments, 'ref' | 'moved'>,
  folder: TaskFolder,
  lostUpTo?: number | null,
) {
  // A task that is taken up: nobody goes on with the uploads that its worker was killed in.
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
    // The worker before may have ended between a message and the checkpoint after it.
    const arrived = new Set(takenIn(written.past).arrived);
    const ledger = replicatedLedger(host, ref, written, arrived);
    return { journal, ledger, inbox: openInbox(ledger), arrived, warnings };
  } catch (error) {
    await written.close();
    throw error;
  }
}

/**
 * Whether this machine was started again since the records were opened last: what came right before was shown, and is
 * perhaps not kept. Of the records of a worker that did not note it nobody knows.
 */
async function isAfterBoot(ledger: Ledger): Promise<boolean> {
  const id = await bootId();
  const before = ledger.past.findLast((each) => each.t === 'boot')?.id;
  if (id === null || id === before) return false;
  // Kept through the next loss of power; without room for it that loss is not seen.
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

/** Without its journal a session must not go on: what happened in it would be lost silently. */
function journalFailed(host: Pick<HostContext, 'tasks' | 'log'>, ref: TaskRef, error: Error): void {
  const message = `The events of task ${ref.taskId} cannot be written (${error.message}): free its host's disk`;
  host.log.error({ taskId: ref.taskId, reason: error.message }, 'journal.failed');
  const task = host.tasks.find(ref.taskId);
  if (task?.ref.assignmentId !== ref.assignmentId) return;
  if (task.is === 'live') return task.session.thread.fail('HostUnfit', message);
  const unfit = new TaskError('HostUnfit', message);
  // Whoever waits for its next session waits no longer.
  if (task.is === 'recovering') host.tasks.noteLost(ref, unfit);
  task.stopping.abort(unfit);
  host.tasks.changed();
}
