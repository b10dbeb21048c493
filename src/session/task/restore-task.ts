import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { TaskMessage } from '../../contract/index.js';
import { TaskError } from '../../errors.js';
import type { PreviousHost, TaskRef } from '../../contract/activities.js';
import type { Store } from '../../store/mongo.js';
import { streamBlob } from '../../store/snapshot-blobs.js';
import {
  cutParts,
  eventMark,
  findCheckpoint,
  keptMessages,
  listParts,
  reserveEventIds,
  type JournalPart,
} from '../../store/task-state.js';
import type { TaskSpec } from '../../contract/task-spec.js';
import type { HostContext } from '../model/host-context.js';
import type { Inbox } from '../conversation/inbox.js';
import type { Journal } from '../../journal/journal.js';
import { knownLinesOf } from '../../task-folder/ledger-parts.js';
import type { Ledger } from '../../task-folder/ledger.js';
import type { RecalledEvents } from '../recall/recalled-events.js';
import { requireRoom, restoreSnapshot } from '../../snapshots/restore-snapshot.js';
import { segmentName } from '../../journal/segments.js';
import type { TaskFolder } from '../../task-folder/task-folder.js';
import { takenIn } from '../../task-folder/taken-messages.js';
import { appendEvent } from '../../journal/append-event.js';

export const NOTHING_SAVED_WARNING =
  'Its host was lost before a checkpoint: the task continues in a fresh workdir with a new thread';

export interface RestoredTask {
  readonly threadId: string | null;
}

/**
 * Restores the newest checkpoint of a task into its fresh folder: workdir, thread, journal and ledger. Null: there is
 * none.
 * @throws TaskError `SnapshotUnreadable`; NewerFormat
 */
export async function restoreTask(
  host: Pick<HostContext, 'config' | 'store'>,
  { runId }: TaskRef,
  spec: TaskSpec,
  folder: TaskFolder,
): Promise<RestoredTask | null> {
  const { store } = host;
  const found = await findCheckpoint(store, spec.snapshot.key, runId);
  await cutParts(store, runId, found?.checkpoint ?? { lastEventId: 0, ledgerBytes: 0 });
  if (!found) return null;
  const { snapshot } = found;
  await requireRoom(host.config, snapshot);
  await restoreSnapshot(store, snapshot, folder);
  const parts = await listParts(store, runId);
  await restoreLedger(store, runId, parts, folder.ledger);
  let file: { path: string; lastId: number } | null = null;
  for (const part of parts) {
    if (part.framesBlobId !== null) {
      const goesOn = file?.lastId === part.firstId - 1;
      const path: string = goesOn ? file!.path : join(folder.journal, segmentName(part.firstId));
      const frames = createWriteStream(path, { flags: 'a', mode: 0o600 });
      await pipeline(streamBlob(store, part.framesBlobId), frames);
      file = { path, lastId: part.lastId };
    }
  }
  return { threadId: snapshot.sessionId };
}

/**
 * Writes all or nothing: a record unknown to this version would keep the next worker from starting. Skips pieces from
 * before its last compaction.
 */
async function restoreLedger(
  store: Store,
  runId: string,
  parts: readonly JournalPart[],
  path: string,
): Promise<void> {
  const beside = `${path}.restored`;
  await rm(beside, { force: true });
  const from = parts.findLastIndex(({ isLedgerWhole }) => isLedgerWhole === true);
  try {
    for (const { ledgerBlobId } of parts.slice(Math.max(from, 0))) {
      if (ledgerBlobId === null) continue;
      const lines = knownLinesOf(streamBlob(store, ledgerBlobId), `The saved ledger of run ${runId}`);
      await pipeline(lines, createWriteStream(beside, { flags: 'a', mode: 0o600 }));
    }
    if (parts.some(({ ledgerBlobId }) => ledgerBlobId !== null)) await rename(beside, path);
  } finally {
    await rm(beside, { force: true });
  }
}

/**
 * Ids up to this one may belong to lost events; null: none does, since the host before saved everything. From here on
 * no earlier host gets further ids.
 * @throws TaskError `HostLost` when a later host has the task
 */
export async function lostEvents(
  host: Pick<HostContext, 'hostId' | 'store'>,
  ref: TaskRef,
  spec: TaskSpec,
  moved: PreviousHost,
): Promise<number | null> {
  const { store, hostId } = host;
  if (!(await reserveEventIds(store, ref, moved.generation, 0)))
    throw new TaskError('HostLost', `Task ${ref.taskId} moved from host ${hostId} to another`);
  const found = await findCheckpoint(store, spec.snapshot.key, ref.runId);
  if (found?.checkpoint.isWhole && found.checkpoint.generation === moved.generation - 1) return null;
  return Math.max(moved.lastEventId, await eventMark(store, ref.runId));
}

/**
 * Settles what clients wait for: closes requests of the lost host, and takes messages that its thread lacks.
 * @param recalled state from the saved events; the ends are added to it
 */
export async function takeOver(
  host: Pick<HostContext, 'store'>,
  { runId }: TaskRef,
  moved: PreviousHost,
  records: { journal: Journal; ledger: Ledger; inbox: Inbox },
  recalled: Pick<RecalledEvents, 'requests'> | null,
): Promise<void> {
  const { journal, ledger, inbox } = records;
  for (const request_id of moved.requests) {
    if (recalled?.requests.get(request_id) === 'ended') continue;
    appendEvent(journal, {
      type: 'x-optio-permission-answered',
      request_id,
      behavior: 'deny',
      decidedBy: 'host-lost',
    });
    recalled?.requests.set(request_id, 'ended');
  }
  const known = new Set(takenIn(ledger.past).ids);
  for (const message of await keptMessages<TaskMessage>(host.store, runId))
    if (!known.has(message.messageId)) await inbox.accept(message);
}
