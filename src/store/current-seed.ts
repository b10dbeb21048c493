import type { ObjectId } from 'mongodb';
import { reasonOf, TaskError } from '../errors.js';
import { isNewer, NewerFormat } from '../formats.js';
import { findBlob } from './blobs.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import type { Store } from './mongo.js';
import { readSecret } from './secret-blobs.js';
import { unpackSeed, type SeedMembers } from './seed-archive.js';

/** The archive of a seed, or why it cannot be read. */
export type SeedBase =
  | { kind: 'read'; archive: Buffer; members: SeedMembers; keyId: string | null }
  /** `locked`: it is encrypted with a key that is missing here, or of a version that is not known here. */
  | { kind: 'missing' | 'unreadable' | 'locked'; reason: string };

/**
 * A seed's document with its archive; null when the seed is unknown. A blob that another client replaced between the
 * two reads does not count as missing.
 */
export async function readCurrentSeed(
  store: Store,
  seedId: string,
): Promise<{ seed: SeedDocument; base: SeedBase } | null> {
  let seed = await findSeed(store, seedId);
  while (seed) {
    const base = await readBase(store, seed, seed.blobId);
    if (base.kind === 'read') return { seed, base };
    const again = await findSeed(store, seedId);
    if (again?.blobId.equals(seed.blobId)) return { seed, base };
    seed = again;
  }
  return null;
}

/** A seed's document; null when it is unknown, as one with a malformed id is. */
export async function findSeed(store: Store, seedId: string): Promise<SeedDocument | null> {
  const _id = objectIdOf(seedId);
  return _id && seedsOf(store).findOne({ _id });
}

/** An archive of a seed: its current one or one that was replaced. */
export async function readBase(
  store: Store,
  { _id, manifestVersion }: Pick<SeedDocument, '_id' | 'manifestVersion'>,
  blobId: ObjectId,
): Promise<SeedBase> {
  const id = blobId.toHexString();
  const seedId = _id.toHexString();
  if (isNewer('seed', manifestVersion)) {
    const { message } = new NewerFormat('seed', manifestVersion, `Seed ${seedId}`);
    return { kind: 'locked', reason: message };
  }
  if (!(await findBlob(store, id))) return { kind: 'missing', reason: `its blob ${id} is missing` };
  try {
    const place = { kind: 'seed', seedId } as const;
    const { bytes: archive, keyId } = await readSecret(store, place, blobId);
    return { kind: 'read', archive, members: await unpackSeed(archive), keyId };
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    if (error.code === 'HostUnfit') return { kind: 'locked', reason: error.message };
    if (error.code !== 'BadInput') throw error;
    return { kind: 'unreadable', reason: `its blob ${id} cannot be read: ${reasonOf(error)}` };
  }
}
