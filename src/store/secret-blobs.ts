import { ObjectId } from 'mongodb';
import { putBlob, readBlob } from './blobs.js';
import { MAX_OVERHEAD_BYTES, open, seal } from './cipher.js';
import type { Store } from './mongo.js';
import { MAX_SEED_BYTES } from './seed-archive.js';

/** What a blob with a credential is: the archive of a seed, or an auth.json quarantined for it. */
export interface SecretPlace {
  kind: 'seed' | 'quarantine';
  /** In hex. An encrypted blob opens only for this seed. */
  seedId: string;
}

/** A credential's bytes, and the id of the key that they are encrypted with; null: they are stored plain. */
export interface Secret {
  bytes: Buffer;
  keyId: string | null;
}

/**
 * What tells our blobs from those of others in the same bucket, which the collector must leave alone: packages
 * for other agents write the same names and prefixes.
 */
export const ownMetadata = ({ prefix }: Store, name: string) => ({ prefix, name, writer: 'codex-task' });

/** Stores a credential as the Python package does, encrypted when a key is set. Nothing refers to it yet. */
export async function putSecret(
  store: Store,
  { kind, seedId }: SecretPlace,
  bytes: Buffer,
  by: { processId?: string } = {},
): Promise<ObjectId> {
  const metadata = { ...by, ...ownMetadata(store, kind), seedId };
  const sealed = seal(store.seedKeys, bytes, placeOf({ kind, seedId }));
  return new ObjectId(await putBlob(store, sealed, { filename: kind, metadata }));
}

/**
 * Marks blobs as unwanted before what names them is removed: after a crash the collector quarantines nothing of them.
 * It leaves them alone for its grace period from `droppedAt` on; else they are old at once.
 */
export async function dropSecretBlobs(
  store: Store,
  ids: readonly ObjectId[],
  droppedAt = new Date(0),
  more: Record<string, unknown> = {},
): Promise<void> {
  const fields = Object.entries({ ...more, droppedAt });
  const $set = Object.fromEntries(fields.map(([key, value]) => [`metadata.${key}`, value]));
  await store.db.collection('fs.files').updateMany({ _id: { $in: ids } }, { $set });
}

/**
 * Reads a credential, encrypted or plain.
 * @throws TaskError `BadInput` when the blob is missing or damaged, `HostUnfit` when it cannot be decrypted here
 */
export async function readSecret(store: Store, place: SecretPlace, blobId: ObjectId): Promise<Secret> {
  const id = blobId.toHexString();
  const blob = await readBlob(store, id, MAX_SEED_BYTES + MAX_OVERHEAD_BYTES);
  return open(store.seedKeys, blob, placeOf(place), `Blob ${id} of seed ${place.seedId}`);
}

const placeOf = ({ kind, seedId }: SecretPlace): string => `codex-task/${kind}/${seedId}`;
