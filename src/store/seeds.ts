import { ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { checkMetadata } from './assign-seed.js';
import { deleteBlob } from './blobs.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { readCurrentSeed } from './current-seed.js';
import { heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';
import { quarantineAuth } from './quarantine.js';
import { putSecret } from './secret-blobs.js';
import {
  isValidAuth,
  packSeed,
  refreshedAt,
  replaceAuth,
  unpackSeed,
  type SeedMembers,
} from './seed-archive.js';
import { MAX_CONFLICTS, swapBlob } from './swap-blob.js';

export { listSeeds, type SeedInfo } from './seed-info.js';

export type SaveBackResult =
  | { kind: 'saved'; blobId: string }
  | { kind: 'unchanged' }
  | { kind: 'quarantined'; reason: string; quarantineId: string };

const MANIFEST_VERSION = 1;

/** Where a new seed belongs. */
export interface SeedPlacement {
  pool?: string;
  metadata?: Record<string, unknown>;
}

/** Stores a new credential and returns its seed id. @throws TaskError `BadInput` for an auth.json without credential */
export async function insertSeed(
  store: Store,
  seed: { authJson: Buffer; configToml?: Buffer } & SeedPlacement,
): Promise<string> {
  const { authJson, configToml, ...placement } = seed;
  requireValid(authJson, 'New seed');
  return insertArchive(store, await packSeed({ authJson, configToml: configToml ?? null }), placement);
}

/**
 * The same under an id that the caller chose. False: there is such a seed already, and nothing changed.
 * @throws TaskError `BadInput` for an auth.json without credential
 */
export async function insertSeedAs(
  store: Store,
  seedId: ObjectId,
  { authJson, ...placement }: { authJson: Buffer } & SeedPlacement,
): Promise<boolean> {
  requireValid(authJson, 'New seed');
  const isKnown = async () => (await seedsOf(store).findOne({ _id: seedId })) !== null;
  if (await isKnown()) return false;
  try {
    await insertArchive(store, await packSeed({ authJson }), placement, seedId);
    return true;
  } catch (error) {
    // Its blob, which no document names, is the collector's: it tells this from an answer that was lost.
    if (await isKnown()) return false;
    throw error;
  }
}

/**
 * Stores a seed that was exported, all of its members, and returns its new id.
 * @throws TaskError `BadInput` for anything but a seed archive with a valid auth.json
 */
export async function importSeed(store: Store, archive: Buffer, placement: SeedPlacement): Promise<string> {
  const { authJson } = await unpackSeed(archive);
  requireValid(authJson ?? Buffer.alloc(0), 'New seed');
  return insertArchive(store, archive, placement);
}

async function insertArchive(
  store: Store,
  archive: Buffer,
  { pool, metadata }: SeedPlacement,
  _id = new ObjectId(),
): Promise<string> {
  if (metadata) checkMetadata(metadata);
  const blobId = await putSecret(store, { kind: 'seed', seedId: _id.toHexString() }, archive);
  await seedsOf(store).insertOne({
    _id,
    createdAt: await databaseNow(store),
    blobId,
    manifestVersion: MANIFEST_VERSION,
    ...(pool !== undefined && { poolKey: pool }),
    ...(metadata !== undefined && { metadata }),
  });
  return _id.toHexString();
}

/**
 * The archive of a seed as it is exported, decrypted; null when the seed is unknown.
 * @throws TaskError `CredentialDead` when its blob cannot be read, `HostUnfit` when its key is missing here
 */
export async function exportSeed(store: Store, seedId: string): Promise<Buffer | null> {
  return (await readWhole(store, seedId))?.archive ?? null;
}

/**
 * The files of a seed; null when it is unknown.
 * @throws TaskError `CredentialDead` when its blob cannot be read, `HostUnfit` when its key is missing here
 */
export async function readSeed(
  store: Store,
  seedId: string,
): Promise<{ authJson: Buffer | null; configToml: Buffer | null; blobId: string } | null> {
  const whole = await readWhole(store, seedId);
  return whole && { ...whole.members, blobId: whole.blobId };
}

async function readWhole(
  store: Store,
  seedId: string,
): Promise<{ archive: Buffer; members: SeedMembers; blobId: string } | null> {
  const current = await readCurrentSeed(store, seedId);
  if (!current) return null;
  const { seed, base } = current;
  if (base.kind === 'read') {
    const { archive, members } = base;
    return { archive, members, blobId: seed.blobId.toHexString() };
  }
  if (base.kind === 'locked') throw new TaskError('HostUnfit', base.reason);
  throw new TaskError('CredentialDead', `Seed ${seedId}: ${base.reason}; log in again`);
}

/**
 * Puts a changed auth.json into its seed, in one compare-and-swap on holder, epoch and the replaced blob. When
 * the lease is lost or the seed gone, the bytes are kept in quarantine. The three replaced blobs before the
 * current one are kept too. When two calls of one lease overlap, bytes with an earlier `last_refresh` than what
 * the other one stored go to quarantine and count as unchanged. A call that failed may be repeated.
 * @throws TaskError `BadInput` for an auth.json without credential: nothing is written
 */
export async function saveBack(
  store: Store,
  lease: Lease,
  authJson: Buffer,
  context: { taskId: string },
): Promise<SaveBackResult> {
  requireValid(authJson, `Seed ${lease.seedId}`);
  const keepAside = async (reason: string): Promise<SaveBackResult> => {
    const quarantineId = await quarantineAuth(store, lease, authJson, { ...context, reason });
    return { kind: 'quarantined', reason, quarantineId };
  };
  const held = heldBy(lease);
  if (!held) return keepAside('the seed is gone');
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, lease.seedId);
    if (!current) return keepAside('the seed is gone');
    const { seed, base } = current;
    const stored = base.kind === 'read' ? base.members.authJson : null;
    if (stored?.equals(authJson)) return { kind: 'unchanged' };
    const loss = lossOf(seed, lease);
    if (loss) return keepAside(loss);
    if (base.kind === 'unreadable' || base.kind === 'locked') return keepAside(base.reason);
    if (conflicts > 0 && stored && refreshedAt(stored) > refreshedAt(authJson)) {
      await keepAside('the seed already has a later refresh');
      return { kind: 'unchanged' };
    }
    const archive =
      base.kind === 'read' ? await replaceAuth(base.archive, authJson) : await packSeed({ authJson });
    const place = { kind: 'seed', seedId: lease.seedId } as const;
    const blobId = await putSecret(store, place, archive, { processId: context.taskId });
    if (await swapBlob(store, held, seed, blobId)) return { kind: 'saved', blobId: blobId.toHexString() };
    await deleteBlob(store, blobId.toHexString());
  }
  return keepAside(`the seed was changed by others ${MAX_CONFLICTS} times meanwhile`);
}

function requireValid(authJson: Buffer, subject: string): void {
  if (isValidAuth(authJson)) return;
  throw new TaskError(
    'BadInput',
    `${subject}: expected an auth.json with tokens or OPENAI_API_KEY, got ${authJson.length} bytes without`,
  );
}

function lossOf(seed: SeedDocument, lease: Lease): string | null {
  const holder = seed.lease?.holder;
  if (holder === lease.holder && seed.leaseEpoch === lease.leaseEpoch) return null;
  if (holder === undefined) return 'the lease was released or reaped';
  return `the lease is now held by ${holder} with epoch ${seed.leaseEpoch ?? 0}`;
}
