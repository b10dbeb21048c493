import { ObjectId } from 'mongodb';
import { reasonOf, TaskError } from '../errors.js';
import { findBlob, putBlob, readBlob } from './blobs.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import type { Store } from './mongo.js';
import { MAX_SEED_BYTES, unpackSeed, type SeedMembers } from './seed-archive.js';

/** What a seed's document names: its archive, or why there is none to read. */
export type SeedBase =
  | { kind: 'read'; archive: Buffer; members: SeedMembers }
  | { kind: 'missing' | 'unreadable'; reason: string };

/** Stores an archive as the Python package does. It belongs to no seed until a document names it. */
export async function putSeedBlob(
  store: Store,
  archive: Buffer,
  metadata: { processId?: string } = {},
): Promise<ObjectId> {
  const named = { ...metadata, prefix: store.prefix, name: 'seed' };
  return new ObjectId(await putBlob(store, archive, { filename: 'seed', metadata: named }));
}

/**
 * A seed's document with its archive; null when the seed is unknown. A blob that another client replaced
 * between the two is not taken for missing.
 */
export async function readCurrentSeed(
  store: Store,
  seedId: string,
): Promise<{ seed: SeedDocument; base: SeedBase } | null> {
  let seed = await findSeed(store, seedId);
  while (seed) {
    const base = await readBase(store, seed.blobId.toHexString());
    if (base.kind === 'read') return { seed, base };
    const again = await findSeed(store, seedId);
    if (again?.blobId.equals(seed.blobId)) return { seed, base };
    seed = again;
  }
  return null;
}

async function findSeed(store: Store, seedId: string): Promise<SeedDocument | null> {
  const _id = objectIdOf(seedId);
  return _id && seedsOf(store).findOne({ _id });
}

async function readBase(store: Store, blobId: string): Promise<SeedBase> {
  if (!(await findBlob(store, blobId))) return { kind: 'missing', reason: `its blob ${blobId} is missing` };
  try {
    const archive = await readBlob(store, blobId, MAX_SEED_BYTES);
    return { kind: 'read', archive, members: await unpackSeed(archive) };
  } catch (error) {
    if (!(error instanceof TaskError && error.code === 'BadInput')) throw error;
    return { kind: 'unreadable', reason: `its blob ${blobId} cannot be read: ${reasonOf(error)}` };
  }
}
