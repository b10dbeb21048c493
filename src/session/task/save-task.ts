import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { TaskError } from '../../errors.js';
import { putBlob } from '../../store/blobs.js';
import type { Store } from '../../store/mongo.js';
import {
  dropMessages,
  insertPart,
  partsEnd,
  type Checkpoint,
  type JournalPart,
} from '../../store/task-state.js';
import { firstFrameId } from '../../journal/frames.js';
import type { HostContext, SavingHost } from '../model/host-context.js';
import type { Journal } from '../../journal/journal.js';
import { pieceAfter } from '../../task-folder/ledger-parts.js';
import type { PreparedTask } from '../model/prepared-task.js';
import { takeSnapshot } from '../../snapshots/take-snapshot.js';

const READ_BYTES = 1024 * 1024;

export interface SaveOptions {
  readonly threadId: string;
  /** Nothing happens here any more: another host continues without a gap. */
  readonly isWhole: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Saves all that another host needs to continue the task: events and ledger so far, then a snapshot with their
 * positions. No turn may run meanwhile; Codex may.
 * @throws TaskError `HostLost` when this host has no right to run the task any more
 */
export async function saveTask(
  host: SavingHost,
  task: PreparedTask,
  { threadId, isWhole, signal }: SaveOptions,
): Promise<{ snapshotId: string }> {
  const { ref, spec, journal, ledger, moved, arrived } = task;
  const { runId } = ref;
  // The snapshot may lack what comes into the thread from here on.
  const inThread = [...arrived];
  await Promise.all([journal.sync(), ledger.sync()]);
  const reached = await savePart(host, task);
  const checkpoint: Checkpoint = {
    runId,
    generation: moved?.generation ?? 0,
    lastEventId: reached.lastId,
    ledgerBytes: reached.ledgerTo,
    isWhole,
  };
  // A last checkpoint counts as a new one even when it reaches no further than the one before.
  const request = `${ref.assignmentId}/${checkpoint.generation}/${reached.lastId}/${reached.ledgerTo}${isWhole ? '/whole' : ''}`;
  requireHostLease(host, ref.taskId);
  const { snapshotId } = await takeSnapshot(
    host,
    { ref, settings: spec.snapshot, kind: 'checkpoint', endState: 'running', threadId },
    { request, details: { checkpoint }, ...(signal && { signal }) },
  );
  await dropMessages(host.store, runId, inThread);
  for (const messageId of inThread) arrived.delete(messageId);
  return { snapshotId };
}

/** Stores what was added to journal and ledger since the last piece. */
async function savePart(
  host: Pick<HostContext, 'hostLease' | 'hostId' | 'store'>,
  { ref, journal, folder }: PreparedTask,
): Promise<{ lastId: number; ledgerTo: number }> {
  const { store } = host;
  const before = await partsEnd(store, ref.runId);
  const metadata = { taskId: ref.taskId, runId: ref.runId, prefix: store.prefix };
  const events = eventsAfter(journal, before.lastId);
  const isNew = journal.lastId > before.lastId;
  const framesBlobId = isNew
    ? await putBlob(store, Readable.from(events.read(), { objectMode: false }), {
        filename: 'journal',
        metadata,
      })
    : null;
  const { ledgerTo, ...ledgerPart } = await saveLedger(store, folder.ledger, before.ledgerTo, metadata);
  if (framesBlobId === null && ledgerPart.ledgerBlobId === null) return before;
  const { firstId, lastId } = events;
  requireHostLease(host, ref.taskId);
  const reach = { firstId, lastId, ledgerFrom: before.ledgerTo, ledgerTo };
  await insertPart(store, { ...ref, ...reach, framesBlobId, ...ledgerPart });
  return { lastId, ledgerTo };
}

async function saveLedger(
  store: Store,
  path: string,
  after: number,
  metadata: Record<string, unknown>,
): Promise<Pick<JournalPart, 'ledgerTo' | 'ledgerBlobId' | 'isLedgerWhole'>> {
  // A ledger compacted meanwhile stays the file that it is here.
  const file = await open(path, 'r');
  try {
    const { from, to, end } = await pieceAfter(file, after);
    if (to === from) return { ledgerTo: after, ledgerBlobId: null };
    const lines = file.createReadStream({ start: from, end: to - 1, autoClose: false });
    const ledgerBlobId = await putBlob(store, lines, { filename: 'ledger', metadata });
    return { ledgerTo: end, ledgerBlobId, ...(from === 0 && { isLedgerWhole: true }) };
  } finally {
    await file.close();
  }
}

function eventsAfter(journal: Journal, afterId: number) {
  const events = {
    firstId: 0,
    lastId: afterId,
    async *read(): AsyncGenerator<Buffer> {
      const upTo = journal.lastId;
      while (events.lastId < upTo) {
        const frames = await journal.read(events.lastId, READ_BYTES);
        if (!frames) return;
        events.firstId ||= firstFrameId(frames.bytes);
        events.lastId = frames.lastId;
        yield frames.bytes;
      }
    },
  };
  return events;
}

function requireHostLease(
  { hostLease, hostId }: Pick<HostContext, 'hostLease' | 'hostId'>,
  taskId: string,
): void {
  if (!hostLease.isHeld())
    throw new TaskError('HostLost', `Host ${hostId} may not save task ${taskId} any more`);
}
