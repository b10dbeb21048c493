import { createHash } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { deadline } from '../async/within.js';
import { requireKnown, versioned } from '../formats.js';
import { storeUntilKept } from './blob-fence.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, quarantineOf, type QuarantineDocument } from './collections.js';
import type { Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';
import { dropSecretBlobs, putSecret, readSecret } from './secret-blobs.js';

/** A quarantined credential; ids in hex. */
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
  const sha256 = hashOf(authJson);
  const key = { seedId, taskId: context.taskId, holder, leaseEpoch, sha256 };
  const known = await quarantineOf(store).findOne(key, { projection: { _id: 1 } });
  if (known) return known._id.toHexString();
  const place = { kind: 'quarantine', seedId } as const;
  const by = { processId: context.taskId };
  const blobId = await putSecret(store, place, authJson, by);
  const at = await databaseNow(store);
  const _id = new ObjectId();
  const fields = { ...key, reason: context.reason, at, blobId, settled: false };
  await quarantineOf(store).insertOne({ _id, ...versioned('quarantine', fields) });
  await storeUntilKept(store, { place, bytes: authJson, by }, blobId, async (from, to) => {
    const change = { $set: { blobId: to } };
    return (await quarantineOf(store).updateOne({ _id, blobId: from }, change)).matchedCount === 1;
  });
  return _id.toHexString();
}

/** Whether quarantine has these bytes for a seed already, whoever held it. */
export async function isQuarantined(store: Store, seedId: string, authJson: Buffer): Promise<boolean> {
  return (await quarantineOf(store).findOne({ seedId, sha256: hashOf(authJson) })) !== null;
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The records, newest first; of one seed when it is named. */
export async function listQuarantine(store: Store, seedId?: string): Promise<QuarantineRecord[]> {
  const records = await quarantineOf(store)
    .find(seedId === undefined ? {} : { seedId }, { sort: { at: -1, _id: -1 } })
    .toArray();
  return records.map(describeRecord);
}

/** Those of a task, newest first. */
export async function quarantineOfTask(store: Store, taskId: string): Promise<QuarantineRecord[]> {
  const records = await quarantineOf(store)
    .find({ taskId }, { sort: { at: -1, _id: -1 } })
    .toArray();
  return records.map(describeRecord);
}

/**
 * How many quarantined credentials may be newer than those in their seeds; null when the database does not answer
 * within `timeoutMs`.
 */
export async function countQuarantine(store: Store, timeoutMs: number): Promise<number | null> {
  return deadline(timeoutMs, quarantineOf(store).countDocuments({ settled: { $ne: true } })).catch(
    () => null,
  );
}

/** One record; null when there is none, as with a malformed id. @throws NewerFormat */
export async function findQuarantined(store: Store, quarantineId: string): Promise<QuarantineRecord | null> {
  const _id = objectIdOf(quarantineId);
  const record = _id && (await quarantineOf(store).findOne({ _id }));
  if (record) requireKnownRecord(record);
  return record && describeRecord(record);
}

function describeRecord({
  _id,
  blobId,
  sha256: _sha256,
  settled: _settled,
  version: _version,
  ...fields
}: QuarantineDocument): QuarantineRecord {
  return { quarantineId: _id.toHexString(), ...fields, blobId: blobId.toHexString() };
}

/** @throws NewerFormat */
export const requireKnownRecord = ({ _id, version }: QuarantineDocument): void =>
  requireKnown('quarantine', version, `Quarantine record ${_id.toHexString()}`);

/**
 * The auth.json of a record; null when there is no such record.
 * @throws TaskError `BadInput` when its blob is missing or damaged, `HostUnfit` when its key is missing here; NewerFormat
 */
export async function readQuarantined(store: Store, quarantineId: string): Promise<Buffer | null> {
  const _id = objectIdOf(quarantineId);
  let record = _id && (await quarantineOf(store).findOne({ _id }));
  while (record) {
    requireKnownRecord(record);
    const { seedId, blobId } = record;
    try {
      return (await readSecret(store, { kind: 'quarantine', seedId }, blobId)).bytes;
    } catch (error) {
      // A change of keys may have replaced the blob between the two.
      record = await quarantineOf(store).findOne({ _id: record._id });
      if (record?.blobId.equals(blobId)) throw error;
    }
  }
  return null;
}

/**
 * Drops a record with its bytes, once they are restored or worthless. False when there is no such record.
 * @throws NewerFormat
 */
export async function deleteQuarantined(store: Store, quarantineId: string): Promise<boolean> {
  const _id = objectIdOf(quarantineId);
  let known = _id && (await quarantineOf(store).findOne({ _id }));
  while (known) {
    requireKnownRecord(known);
    const { blobId } = known;
    await dropSecretBlobs(store, [blobId]);
    // A change of keys may have replaced the blob between the two.
    if (await quarantineOf(store).findOneAndDelete({ _id: known._id, blobId })) {
      await deleteBlob(store, blobId.toHexString());
      return true;
    }
    known = await quarantineOf(store).findOne({ _id: known._id });
  }
  return false;
}
