import { createHash } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { deleteBlob, putBlob, readBlob } from './blobs.js';
import { objectIdOf, quarantineOf } from './collections.js';
import type { Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** A credential kept aside; ids in hex. */
export interface QuarantineRecord {
  quarantineId: string;
  seedId: string;
  taskId: string;
  holder: string;
  leaseEpoch: number;
  reason: string;
  at: Date;
  blobId: string;
}

/**
 * Keeps an auth.json that could not be saved to its seed, the bytes before the record. The same bytes of the
 * same lease are kept once, however often they come. Returns the record's id in hex.
 */
export async function quarantineAuth(
  store: Store,
  lease: Lease,
  authJson: Buffer,
  context: { taskId: string; reason: string },
): Promise<string> {
  const { seedId, holder, leaseEpoch } = lease;
  const sha256 = createHash('sha256').update(authJson).digest('hex');
  const key = { seedId, taskId: context.taskId, holder, leaseEpoch, sha256 };
  const known = await quarantineOf(store).findOne(key, { projection: { _id: 1 } });
  if (known) return known._id.toHexString();
  const metadata = { processId: context.taskId, prefix: store.prefix, name: 'quarantine', seedId };
  const blobId = new ObjectId(await putBlob(store, authJson, { filename: 'quarantine', metadata }));
  const at = await databaseNow(store);
  const _id = new ObjectId();
  await quarantineOf(store).insertOne({ _id, ...key, reason: context.reason, at, blobId });
  return _id.toHexString();
}

/** The records, newest first; of one seed when it is named. */
export async function listQuarantine(store: Store, seedId?: string): Promise<QuarantineRecord[]> {
  const records = await quarantineOf(store)
    .find(seedId === undefined ? {} : { seedId }, { sort: { at: -1, _id: -1 } })
    .toArray();
  return records.map(({ _id, blobId, sha256: _sha256, ...fields }) => ({
    quarantineId: _id.toHexString(),
    ...fields,
    blobId: blobId.toHexString(),
  }));
}

/** The auth.json of a record; null when there is no such record. */
export async function readQuarantined(store: Store, quarantineId: string): Promise<Buffer | null> {
  const _id = objectIdOf(quarantineId);
  const record = _id && (await quarantineOf(store).findOne({ _id }));
  return record && readBlob(store, record.blobId.toHexString());
}

/** Drops a record with its bytes, once they are restored or worthless. False when there is no such record. */
export async function deleteQuarantined(store: Store, quarantineId: string): Promise<boolean> {
  const _id = objectIdOf(quarantineId);
  const record = _id && (await quarantineOf(store).findOneAndDelete({ _id }));
  if (!record) return false;
  await deleteBlob(store, record.blobId.toHexString());
  return true;
}
