import { ensureLoginIndex } from './logins.js';
import type { Store } from './mongo.js';

/** An index of a collection; `of` is its name without the prefix, or that of the bucket as it is. */
export interface IndexEntry {
  readonly of: string;
  readonly name: string;
  readonly key: Readonly<Record<string, 1 | -1>>;
  /** Documents without any of its fields are not in it. */
  readonly sparse?: true;
  readonly unique?: true;
}

/**
 * Every index that the queries of this folder go by. Those of the Python package keep its names and keys. Which query
 * needs which is in test/store/query-plans.ts.
 */
export const INDEXES: readonly IndexEntry[] = [
  { of: 'codex_seeds', name: 'by_poolKey_lastLeasedAt', key: { poolKey: 1, lastLeasedAt: 1 } },
  // Who is free in a pool, the longest unused first; dead, limited and put aside are passed over within the index.
  {
    of: 'codex_seeds',
    name: 'by_pool_free',
    key: {
      poolKey: 1,
      'lease.expiresAt': 1,
      lastLeasedAt: 1,
      _id: 1,
      status: 1,
      'metadata.limitedUntil': 1,
      'metadata.putAside.until': 1,
    },
  },
  {
    of: 'codex_seeds',
    name: 'by_pool_limitedUntil',
    key: { poolKey: 1, 'metadata.limitedUntil': 1, status: 1 },
  },
  { of: 'codex_seeds', name: 'by_lease_expiresAt', key: { 'lease.expiresAt': 1 } },
  { of: 'codex_seeds', name: 'by_lease_holder', key: { 'lease.holder': 1 }, sparse: true },
  { of: 'codex_seeds', name: 'by_leaseRequest_holder', key: { 'leaseRequest.holder': 1 }, sparse: true },
  { of: 'codex_seeds', name: 'by_login', key: { login: 1 }, sparse: true, unique: true },
  { of: 'codex_seeds', name: 'by_earlierLogins', key: { earlierLogins: 1 }, sparse: true },
  { of: 'codex_seeds', name: 'by_hold_kind', key: { 'hold.kind': 1, poolKey: 1 }, sparse: true },
  { of: 'codex_seeds', name: 'by_blobId', key: { blobId: 1 } },
  { of: 'codex_seeds', name: 'by_previousBlobs', key: { previousBlobs: 1 }, sparse: true },
  { of: 'codex_assignments', name: 'by_hostId', key: { hostId: 1 } },
  { of: 'codex_quarantine', name: 'by_seedId_at_desc', key: { seedId: 1, at: -1 } },
  { of: 'codex_quarantine', name: 'by_taskId_at_desc', key: { taskId: 1, at: -1 } },
  { of: 'codex_quarantine', name: 'by_blobId', key: { blobId: 1 } },
  {
    of: 'codex_session_snapshots',
    name: 'by_processId_capturedAt_desc',
    key: { processId: 1, capturedAt: -1 },
  },
  { of: 'codex_session_snapshots', name: 'by_taskId', key: { taskId: 1, capturedAt: -1 }, sparse: true },
  { of: 'codex_session_snapshots', name: 'by_workdirBlobId', key: { workdirBlobId: 1 } },
  { of: 'codex_session_snapshots', name: 'by_changeBlobIds', key: { changeBlobIds: 1 }, sparse: true },
  { of: 'codex_snapshot_loose_blobs', name: 'by_at', key: { at: 1 } },
  { of: 'codex_snapshot_loose_blobs', name: 'by_taskId', key: { taskId: 1 }, sparse: true },
  { of: 'codex_waiters', name: 'by_source_since', key: { source: 1, since: 1, _id: 1 } },
  { of: 'codex_waiters', name: 'by_expiresAt', key: { expiresAt: 1 } },
  { of: 'codex_waiters', name: 'by_taskId', key: { taskId: 1 } },
  { of: 'codex_journal_parts', name: 'by_runId', key: { runId: 1, ledgerTo: 1, lastId: 1 } },
  { of: 'codex_journal_parts', name: 'by_taskId', key: { taskId: 1 } },
  { of: 'codex_messages', name: 'by_runId', key: { runId: 1, _id: 1 } },
  { of: 'codex_messages', name: 'by_taskId', key: { taskId: 1 } },
  { of: 'codex_event_marks', name: 'by_taskId', key: { taskId: 1 } },
  { of: 'fs.files', name: 'by_codex_taskId', key: { 'metadata.taskId': 1 }, sparse: true },
  {
    of: 'fs.files',
    name: 'by_codex_writer',
    key: { 'metadata.writer': 1, 'metadata.prefix': 1, uploadDate: 1 },
  },
];

export const collectionNameOf = ({ prefix }: Pick<Store, 'prefix'>, of: string): string =>
  of.startsWith('fs.') ? of : `${prefix}_${of}`;

/** Makes the indexes; nothing happens where they exist. */
export async function ensureIndexes(store: Store): Promise<void> {
  await ensureLoginIndex(store);
  for (const { of, name, key, sparse, unique } of INDEXES) {
    const options = { name, ...(sparse && { sparse }), ...(unique && { unique }) };
    await store.db.collection(collectionNameOf(store, of)).createIndex(key, options, {});
  }
}
