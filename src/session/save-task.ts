import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { TaskError } from '../errors.js';
import { putBlob } from '../store/blobs.js';
import { dropMessages, insertPart, partsEnd, type Checkpoint } from '../store/task-state.js';
import { firstFrameId } from './records/frames.js';
import type { HostContext } from './host-context.js';
import type { Journal } from './records/journal.js';
import { wholeLinesEnd } from './records/ledger-parts.js';
import type { PreparedTask } from './prepared-task.js';
import { takeSnapshot } from './snapshots/take-snapshot.js';

const READ_BYTES = 1024 * 1024;

export interface SaveOptions {
  readonly threadId: string;
  /** Nothing happens here any more: another host goes on without a gap. */
  readonly isWhole: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Makes all durable that another host needs to go on with the task: events and ledger so far, then a snapshot
 * that names how far they reach. No turn may run meanwhile; codex may live.
 * @throws TaskError `HostLost` when this host has no right to run the task any more
 */
export async function saveTask(
  host: HostContext,
  task: PreparedTask,
  { threadId, isWhole, signal }: SaveOptions,
): Promise<{ snapshotId: string }> {
  const { ref, spec, journal, ledger, moved, arrived } = task;
  const { runId } = ref;
  // What comes into the thread from here on may not be in the snapshot.
  const inThread = [...arrived];
  await Promise.all([journal.sync(), ledger.sync()]);
  const reached = await savePart(host, task);
  const checkpoint: Checkpoint = {
    runId,
    stay: moved?.stay ?? 0,
    lastEventId: reached.lastId,
    ledgerBytes: reached.ledgerTo,
    isWhole,
  };
  // A last one that reaches no further than the one before is another all the same.
  const request = `${ref.stayId}/${checkpoint.stay}/${reached.lastId}/${reached.ledgerTo}${isWhole ? '/whole' : ''}`;
  requireRight(host, ref.taskId);
  const { snapshotId } = await takeSnapshot(
    host,
    { ref, settings: spec.snapshot, kind: 'checkpoint', endState: 'running', threadId },
    { request, details: { checkpoint }, ...(signal && { signal }) },
  );
  for (const messageId of inThread) arrived.delete(messageId);
  await dropMessages(host.store, runId, inThread);
  return { snapshotId };
}

/** Stores what was added to journal and ledger since the last piece. */
async function savePart(
  host: HostContext,
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
  const ledgerTo = await wholeLinesEnd(folder.ledger, before.ledgerTo);
  const added = { start: before.ledgerTo, end: ledgerTo - 1 };
  const ledgerBlobId =
    ledgerTo > before.ledgerTo
      ? await putBlob(store, createReadStream(folder.ledger, added), { filename: 'ledger', metadata })
      : null;
  if (framesBlobId === null && ledgerBlobId === null) return before;
  const { firstId, lastId } = events;
  requireRight(host, ref.taskId);
  const blobs = { framesBlobId, ledgerBlobId };
  await insertPart(store, { ...ref, firstId, lastId, ledgerFrom: before.ledgerTo, ledgerTo, ...blobs });
  return { lastId, ledgerTo };
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

function requireRight({ right, hostId }: HostContext, taskId: string): void {
  if (!right.isHeld()) throw new TaskError('HostLost', `Host ${hostId} may not save task ${taskId} any more`);
}
