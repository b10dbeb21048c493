import type { Collection, ObjectId } from 'mongodb';
import { requireKnown, versioned } from '../formats.js';
import { deleteBlob } from './blobs.js';
import { isDuplicateKey, type Store } from './mongo.js';
import { listSnapshots, type Snapshot } from './snapshots.js';

/** State of a running task that another host needs besides its snapshot, under the `runId` of its run. */

/** A piece of a task's event journal and of its ledger; the blobs are in GridFS, null: nothing new. */
export interface JournalPart {
  taskId: string;
  runId: string;
  /** Id of the first frame; 0 without frames. */
  firstId: number;
  /** The newest event up to here. */
  lastId: number;
  framesBlobId: string | null;
  /** Where the ledger's piece begins and ends in the whole ledger, bytes; what was compacted away counts. */
  ledgerFrom: number;
  ledgerTo: number;
  ledgerBlobId: string | null;
  /** The piece is a complete ledger: it replaces those before it. */
  isLedgerWhole?: boolean;
}

/** A message in the order in which messages were taken. */
interface KeptMessage<M> {
  _id?: ObjectId;
  taskId: string;
  runId: string;
  messageId: string;
  message: M;
  version?: number;
}

interface EventMark {
  /** The run. */
  _id: string;
  taskId: string;
  /** Generation of the host that reserved last. */
  generation: number;
  /** The newest id that an event may have. */
  lastEventId: number;
  version?: number;
}

/** A checkpoint as the `details` of its snapshot have it. */
export interface Checkpoint {
  runId: string;
  /** How many hosts had the task before. */
  generation: number;
  lastEventId: number;
  ledgerBytes: number;
  /** Nothing happened on that host afterwards. */
  isWhole: boolean;
}

type KeptPart = JournalPart & { version?: number };

export const partsOf = (store: Store): Collection<KeptPart> =>
  store.db.collection(`${store.prefix}_codex_journal_parts`);
const messagesOf = <M>(store: Store): Collection<KeptMessage<M>> =>
  store.db.collection(`${store.prefix}_codex_messages`);
const marksOf = (store: Store): Collection<EventMark> =>
  store.db.collection(`${store.prefix}_codex_event_marks`);

/** Records a piece whose blobs are stored already. */
export async function insertPart(store: Store, part: JournalPart): Promise<void> {
  await partsOf(store).insertOne({ ...versioned('part', part) });
}

/** The pieces of a run, oldest first. @throws NewerFormat */
export async function listParts(store: Store, runId: string): Promise<JournalPart[]> {
  const sort = { ledgerTo: 1, lastId: 1 } as const;
  const parts = await partsOf(store)
    .find({ runId }, { sort, projection: { _id: 0 } })
    .toArray();
  return parts.map(knownPart);
}

function knownPart<P extends KeptPart>({ version, ...part }: P): Omit<P, 'version'> {
  requireKnown('part', version, `A part of the journal of run ${part.runId}`);
  return part;
}

/**
 * Removes the pieces of a run beyond a checkpoint, whose host did not finish them.
 * @throws NewerFormat, none removed
 */
export async function cutParts(
  store: Store,
  runId: string,
  { lastEventId, ledgerBytes }: Pick<Checkpoint, 'lastEventId' | 'ledgerBytes'>,
): Promise<void> {
  const parts = await partsOf(store).find({ runId }).toArray();
  for (const part of parts.map(knownPart)) {
    if (part.lastId <= lastEventId && part.ledgerTo <= ledgerBytes) continue;
    await partsOf(store).deleteOne({ _id: part._id });
    await deleteBlobsOf(store, part);
  }
}

/**
 * The position that the pieces of a run reach.
 * @throws NewerFormat
 */
export async function partsEnd(store: Store, runId: string): Promise<{ lastId: number; ledgerTo: number }> {
  const sort = { ledgerTo: -1, lastId: -1 } as const;
  const found = await partsOf(store).findOne({ runId }, { sort });
  const newest = found && knownPart(found);
  return { lastId: newest?.lastId ?? 0, ledgerTo: newest?.ledgerTo ?? 0 };
}

/** The newest checkpoint of a run that was not removed; null when there is none. */
export async function findCheckpoint(
  store: Store,
  key: string,
  runId: string,
): Promise<{ snapshot: Snapshot; checkpoint: Checkpoint } | null> {
  for (const snapshot of await listSnapshots(store, key)) {
    // It may be of this run, and say so otherwise.
    requireKnown('snapshot', snapshot.layout, `Snapshot ${snapshot.id}`);
    const checkpoint = snapshot.details['checkpoint'] as Checkpoint | undefined;
    if (checkpoint?.runId === runId) return { snapshot, checkpoint };
  }
  return null;
}

/** Keeps a message until a checkpoint has it. */
export async function keepMessage<M extends { messageId: string }>(
  store: Store,
  { taskId, runId }: { taskId: string; runId: string },
  message: M,
): Promise<void> {
  const { messageId } = message;
  await messagesOf<M>(store).insertOne(versioned('message', { taskId, runId, messageId, message }));
}

/** The kept messages of a run in the order they were taken, each once. @throws NewerFormat */
export async function keptMessages<M>(store: Store, runId: string): Promise<M[]> {
  const kept = await messagesOf<M>(store)
    .find({ runId } as never, { sort: { _id: 1 } })
    .toArray();
  for (const { version } of kept) requireKnown('message', version, `A message kept for run ${runId}`);
  return [...new Map(kept.map((each) => [each.messageId, each.message])).values()];
}

/** Ids in one question. */
const DROPPED_AT_ONCE = 1_000;

export async function dropMessages(
  store: Store,
  runId: string,
  messageIds: readonly string[],
): Promise<void> {
  for (let from = 0; from < messageIds.length; from += DROPPED_AT_ONCE)
    await messagesOf(store).deleteMany({
      runId,
      messageId: { $in: messageIds.slice(from, from + DROPPED_AT_ONCE) },
    });
}

/**
 * Reserves ids up to this one for the events of a run, for its `generation`th host: later hosts continue after them.
 * False: a later host has it by now, and nothing is reserved. Idempotent.
 */
export async function reserveEventIds(
  store: Store,
  { taskId, runId }: { taskId: string; runId: string },
  generation: number,
  upTo: number,
): Promise<boolean> {
  const raise = async () => {
    const filter = { _id: runId, generation: { $lte: generation } };
    const { matchedCount } = await marksOf(store).updateOne(filter, {
      $set: { generation },
      $max: { lastEventId: upTo },
    });
    return matchedCount === 1;
  };
  if (await raise()) return true;
  try {
    await marksOf(store).insertOne(versioned('mark', { _id: runId, taskId, generation, lastEventId: upTo }));
    return true;
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  return raise();
}

/** The newest id that is reserved; 0 when none was. */
export const eventMark = async (store: Store, runId: string): Promise<number> =>
  (await marksOf(store).findOne({ _id: runId }))?.lastEventId ?? 0;

/** Removes the stored state of an ended run; its snapshots stay. */
export async function forgetTaskState(store: Store, runId: string): Promise<void> {
  const parts = await listParts(store, runId);
  await marksOf(store).deleteOne({ _id: runId });
  await messagesOf(store).deleteMany({ runId });
  await partsOf(store).deleteMany({ runId });
  for (const part of parts) await deleteBlobsOf(store, part);
}

/** Ids of all that is kept for another host of a task, whatever its run. */
export interface KeptState {
  parts: ObjectId[];
  /** Blobs that the parts name. */
  blobIds: string[];
  messages: ObjectId[];
  /** Runs. */
  marks: string[];
}

export async function stateOfTask(store: Store, taskId: string): Promise<KeptState> {
  const parts = (await partsOf(store).find({ taskId }).toArray()).map(knownPart);
  const messages = await messagesOf(store).find({ taskId }).project<{ _id: ObjectId }>({ _id: 1 }).toArray();
  const marks = await marksOf(store).find({ taskId }).toArray();
  return {
    parts: parts.map(({ _id }) => _id),
    blobIds: parts.flatMap(({ framesBlobId, ledgerBlobId }) =>
      [framesBlobId ?? [], ledgerBlobId ?? []].flat(),
    ),
    messages: messages.map(({ _id }) => _id),
    marks: marks.map(({ _id }) => _id),
  };
}

/** Removes these, blobs first: their documents lead to them until they are removed. */
export async function removeState(
  store: Store,
  { parts, blobIds, messages, marks }: KeptState,
): Promise<void> {
  for (const id of blobIds) await deleteBlob(store, id);
  for (const _id of parts) await partsOf(store).deleteOne({ _id });
  for (const _id of messages) await messagesOf(store).deleteOne({ _id });
  for (const _id of marks) await marksOf(store).deleteOne({ _id });
}

async function deleteBlobsOf(store: Store, { framesBlobId, ledgerBlobId }: JournalPart): Promise<void> {
  for (const id of [framesBlobId, ledgerBlobId]) if (id !== null) await deleteBlob(store, id);
}
