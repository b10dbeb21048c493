import type { Readable } from 'node:stream';
import { existsSync } from 'node:fs';
import { reasonOf, TaskError } from '../errors.js';
import type { SnapshotArguments, SnapshotTaken, TaskRef } from '../contract/activities.js';
import { deleteBlob, putBlob } from '../store/blobs.js';
import { databaseNow, type Store } from '../store/mongo.js';
import { areKept, collectLooseBlobs, keepBlobs, keepStored, reserveBlob } from '../store/snapshot-blobs.js';
import {
  deleteSnapshot,
  insertSnapshot,
  pruneSnapshots,
  snapshotOfRequest,
  type Snapshot,
} from '../store/snapshots.js';
import { archiveOf, emptyTally, type ArchiveTally } from './archive-task.js';
import type { Config } from '../config.js';
import type { Log } from '../log.js';
import { dropSettings, keepSettings } from './keep-settings.js';
import { leftOut } from './left-out.js';
import { planSnapshot, type SnapshotPlan } from './plan-snapshot.js';
import { noteSkipped, type Skipped } from './scan-tree.js';
import { taskEntries } from './task-entries.js';
import {
  knownState,
  MAX_MEMBERS,
  readManifest,
  REMOVED,
  writeManifest,
  type Member,
  type SnapshotManifest,
} from './snapshot-manifest.js';
import { inTurn } from './snapshots-under-way.js';
import { readOwner } from '../task-folder/task-manifest.js';
import { taskFolder, type TaskFolder } from '../task-folder/task-folder.js';

/** One call of `takeSnapshot`. */
export interface SnapshotCall {
  /** Names the call: a repeated one gets the snapshot of the first. */
  readonly request: string;
  readonly signal?: AbortSignal;
  /** Asked when all is stored: whether the document may still be written. */
  readonly mayRecord?: () => Promise<boolean>;
  /** Kept in the document as it is, as `details`. */
  readonly details?: Record<string, unknown>;
}

/** What of its host a snapshot needs. */
export interface SnapshotHost {
  readonly config: Config;
  readonly store: Store;
  readonly log: Log;
}

/**
 * Saves the task's workdir and conversation: blobs first, then the document that names them. Codex may live
 * meanwhile as long as no turn runs; nothing is closed or changed. A checkpoint stores only what changed since
 * the last one. Idempotent; calls for one task run one after another.
 */
export function takeSnapshot(
  host: SnapshotHost,
  args: SnapshotArguments,
  call: SnapshotCall,
): Promise<SnapshotTaken> {
  const folder = taskFolder(host.config.dataDir, args.ref.taskId);
  return inTurn(folder.root, call.signal, async (signal) => {
    const { store } = host;
    const { key, keep } = args.settings;
    await requireFolder(folder, args.ref);
    // The database answers while the folder is looked through.
    const asked = Promise.all([snapshotOfRequest(store, key, call.request), databaseNow(store)]);
    asked.catch(() => undefined);
    const last = await readManifest(folder, key);
    // At the task's start they were written already; without a byte of room the work is saved anyway.
    await keepSettings(folder, store.seedKeys).catch(async (error: unknown) => {
      await dropSettings(folder);
      host.log.warn({ taskId: args.ref.taskId, reason: reasonOf(error) }, 'snapshot.settings.failed');
    });
    const plan = await planSnapshot(folder, args.settings.exclude, last, args.kind);
    const [taken, now] = await asked;
    if (taken && (await isWhole(store, taken))) return { snapshotId: taken.id, warnings: [] };
    if (taken) await deleteSnapshot(store, taken.id);
    const saved = await save(store, folder, args, { ...call, signal }, { last, plan, now });
    const { snapshotId, skipped } = saved;
    const { taskId } = args.ref;
    if (skipped.count > 0) host.log.warn({ taskId, snapshotId, ...skipped }, 'snapshot.incomplete');
    try {
      await pruneSnapshots(store, key, keep);
      if (args.kind === 'end') await collectLooseBlobs(store);
    } catch (error) {
      // The snapshot is safe; the next one cleans up.
      host.log.warn({ taskId, reason: reasonOf(error) }, 'snapshot.prune.failed');
    }
    return { snapshotId, warnings: leftOut(skipped) };
  });
}

/** @throws TaskError `SessionNotHere` when there is nothing of this assignment */
async function requireFolder(folder: TaskFolder, ref: TaskRef): Promise<void> {
  const owner = await readOwner(folder.taskJson);
  if (owner ? owner.ref.assignmentId === ref.assignmentId : existsSync(folder.work)) return;
  throw new TaskError('SessionNotHere', `The folder of task ${ref.taskId} is not on this host any more`);
}

interface Saved {
  snapshotId: string;
  skipped: Skipped;
}

/** The facts known before anything is stored. */
interface Found {
  readonly last: SnapshotManifest | null;
  readonly plan: SnapshotPlan;
  /** By the database's clock, when this began. */
  readonly now: Date;
}

async function save(
  store: Store,
  folder: TaskFolder,
  args: SnapshotArguments,
  call: SnapshotCall,
  { last, plan, now }: Found,
): Promise<Saved> {
  const { key, exclude } = args.settings;
  if (last && plan.kind !== 'whole') {
    const saved = await saveOnto(store, folder, args, call, { last, plan, now });
    if (saved) return saved;
  }
  const tally = emptyTally();
  const entries = taskEntries(folder, exclude, tally.skipped);
  const written = await upload(store, args, call, tally, (onMember) =>
    archiveOf(entries, { onMember, tally }),
  );
  const manifest: SnapshotManifest = {
    key,
    blobs: [written.blobId],
    sizes: [Number(tally.bytes)],
    members: written.members(0),
  };
  const saved = await record(store, args, call, manifest, tally.skipped);
  if (!(await keepStored(store, written.blobId))) {
    await deleteSnapshot(store, saved.snapshotId);
    throw new TaskError(
      'Unavailable',
      `The archive of task ${args.ref.taskId} was deleted while it was stored`,
    );
  }
  await writeManifest(folder, manifest);
  return saved;
}

/** Whether what an earlier call recorded can be read: it may have ended before it looked. */
async function isWhole(store: Store, { blobId, changeBlobIds }: Snapshot): Promise<boolean> {
  const blobs = [blobId, ...changeBlobIds];
  await keepStored(store, blobs.at(-1) ?? blobId);
  return areKept(store, blobs);
}

/** A snapshot that names blobs of the last one; null when another's cleanup has deleted one of them. */
async function saveOnto(
  store: Store,
  folder: TaskFolder,
  args: SnapshotArguments,
  call: SnapshotCall,
  { last, plan, now }: { last: SnapshotManifest; plan: Exclude<SnapshotPlan, { kind: 'whole' }>; now: Date },
): Promise<Saved | null> {
  let manifest = last;
  if (plan.kind === 'changes') {
    const tally = emptyTally();
    const notes = { [REMOVED]: JSON.stringify(plan.removed) };
    const entries = taskEntries(folder, args.settings.exclude, tally.skipped, plan.changed);
    const written = await upload(store, args, call, tally, (onMember) =>
      archiveOf(entries, { onMember, tally }, notes),
    );
    const { skipped } = plan;
    for (const { name, why } of tally.skipped.first)
      if (!skipped.first.some((each) => each.name === name)) noteSkipped(skipped, name, why);
    manifest = {
      key: last.key,
      blobs: [...last.blobs, written.blobId],
      sizes: [...last.sizes, Number(tally.bytes)],
      members: new Map([...plan.kept, ...written.members(last.blobs.length)]),
    };
  }
  const isSame = manifest === last;
  const saved = await record(store, args, call, manifest, plan.skipped, isSame ? now : undefined);
  // An unchanged one has stored no blob: what another notes of these is for `areKept` to see.
  const isKept = isSame || (await keepStored(store, manifest.blobs.at(-1) ?? ''));
  if (isKept && (await areKept(store, manifest.blobs))) {
    if (manifest !== last) await writeManifest(folder, manifest);
    return saved;
  }
  await deleteSnapshot(store, saved.snapshotId);
  return null;
}

interface Written {
  blobId: string;
  /** What it holds, in the state in which it was read. */
  members(blob: number): Map<string, Member>;
}

async function upload(
  store: Store,
  { ref: { taskId }, settings }: SnapshotArguments,
  { signal }: SnapshotCall,
  tally: ArchiveTally,
  archive: (onMember: NonNullable<Parameters<typeof archiveOf>[1]['onMember']>) => Readable,
): Promise<Written> {
  const startedAt = Date.now();
  const states = new Map<string, string>();
  const id = await reserveBlob(store, taskId);
  const content = archive((name, stat, type) => {
    if (tally.entries <= MAX_MEMBERS) states.set(name, knownState(type, stat, startedAt));
  });
  try {
    const metadata = { processId: settings.key, taskId, prefix: store.prefix };
    await putBlob(store, content, { filename: 'workdir', id, metadata, ...(signal && { signal }) });
  } catch (error) {
    await deleteBlob(store, id).then(
      () => keepBlobs(store, [id]),
      () => undefined,
    );
    throw error;
  }
  const members = (blob: number) =>
    new Map([...states].map(([name, state]): [string, Member] => [name, { state, blob }]));
  return { blobId: id, members };
}

async function record(
  store: Store,
  { ref, settings, endState, threadId }: SnapshotArguments,
  { request, details, signal, mayRecord }: SnapshotCall,
  manifest: SnapshotManifest,
  skipped: Skipped,
  capturedAt?: Date,
): Promise<Saved> {
  // Whoever ended this call may be removing the folder: what was read then is no snapshot.
  signal?.throwIfAborted();
  if (mayRecord && !(await mayRecord()))
    throw new TaskError('HostLost', `Task ${ref.taskId} has a newer snapshot of its end`);
  const [blobId = '', ...changeBlobIds] = manifest.blobs;
  const snapshotId = await insertSnapshot(store, {
    key: settings.key,
    blobId,
    changeBlobIds,
    sessionId: threadId,
    endState,
    taskId: ref.taskId,
    runId: ref.runId,
    request,
    contentBytes: manifest.sizes.reduce((sum, size) => sum + size, 0),
    entries: manifest.members.size,
    ...(skipped.count > 0 && { skipped: { count: skipped.count, first: skipped.first } }),
    ...(details && { details }),
    ...(capturedAt && { capturedAt }),
  });
  return { snapshotId, skipped };
}
