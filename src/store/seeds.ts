import { ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import { putSeedBlob, readCurrentSeed } from './current-seed.js';
import { checkMetadata, heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';
import { quarantineAuth } from './quarantine.js';
import { isValidAuth, packSeed, replaceAuth } from './seed-archive.js';

export { listSeeds, type SeedInfo } from './seed-info.js';

export type SaveBackResult =
  | { kind: 'saved'; blobId: string }
  | { kind: 'unchanged' }
  | { kind: 'quarantined'; reason: string; quarantineId: string };

const MANIFEST_VERSION = 1;
const MAX_PREVIOUS_BLOBS = 3;

/** Swaps that another writer may win before the bytes go to quarantine. */
const MAX_CONFLICTS = 10;

/** Stores a new credential and returns its seed id. @throws TaskError `BadInput` for an auth.json without credential */
export async function insertSeed(
  store: Store,
  seed: { authJson: Buffer; configToml?: Buffer; pool?: string; metadata?: Record<string, unknown> },
): Promise<string> {
  const { authJson, configToml, pool, metadata } = seed;
  requireValid(authJson, 'New seed');
  if (metadata) checkMetadata(metadata);
  const archive = await packSeed({ authJson, configToml: configToml ?? null });
  const blobId = await putSeedBlob(store, archive, {});
  const _id = new ObjectId();
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

/** The files of a seed; null when it is unknown. @throws TaskError `CredentialDead` when its blob cannot be read */
export async function readSeed(
  store: Store,
  seedId: string,
): Promise<{ authJson: Buffer | null; configToml: Buffer | null; blobId: string } | null> {
  const current = await readCurrentSeed(store, seedId);
  if (!current) return null;
  const { seed, base } = current;
  if (base.kind === 'read') return { ...base.members, blobId: seed.blobId.toHexString() };
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
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, lease.seedId);
    if (!current) return keepAside('the seed is gone');
    const { seed, base } = current;
    const stored = base.kind === 'read' ? base.members.authJson : null;
    if (stored?.equals(authJson)) return { kind: 'unchanged' };
    const loss = lossOf(seed, lease);
    if (loss) return keepAside(loss);
    if (base.kind === 'unreadable') return keepAside(base.reason);
    if (conflicts > 0 && stored && refreshedAt(stored) > refreshedAt(authJson)) {
      await keepAside('the seed already has a later refresh');
      return { kind: 'unchanged' };
    }
    const archive =
      base.kind === 'read' ? await replaceAuth(base.archive, authJson) : await packSeed({ authJson });
    const blobId = await putSeedBlob(store, archive, { processId: context.taskId });
    if (await swapBlob(store, lease, seed, blobId)) return { kind: 'saved', blobId: blobId.toHexString() };
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

/** When codex refreshed these tokens, as it says; 0 where it does not. Comparable within one host only. */
function refreshedAt(authJson: Buffer): number {
  if (!isValidAuth(authJson)) return 0;
  const { last_refresh: text } = JSON.parse(authJson.toString()) as { last_refresh?: unknown };
  return (typeof text === 'string' && Date.parse(text)) || 0;
}

/** Replaces the blob if lease and blob are still what was read. The document never names a blob that is not whole. */
async function swapBlob(store: Store, lease: Lease, seed: SeedDocument, blobId: ObjectId): Promise<boolean> {
  const now = await databaseNow(store);
  const replaced = [seed.blobId, ...(seed.previousBlobs ?? [])];
  const previousBlobs = replaced.slice(0, MAX_PREVIOUS_BLOBS);
  // After a lost connection it is unknown whether this happened; the new blob then stays, named or not.
  const { matchedCount } = await seedsOf(store).updateOne(
    { ...heldBy(lease), blobId: seed.blobId },
    { $set: { blobId, previousBlobs, updatedAt: now, lastRefreshedAt: now } },
  );
  if (matchedCount === 0) return false;
  // The credential is saved by now: a blob that cannot be removed is no reason to report the contrary.
  for (const old of replaced.slice(MAX_PREVIOUS_BLOBS)) {
    await deleteBlob(store, old.toHexString()).catch(() => undefined);
  }
  return true;
}

/** Removes a seed, then its blobs, whoever holds it: a holder's later save-back goes to quarantine. */
export async function deleteSeed(store: Store, seedId: string): Promise<boolean> {
  const _id = objectIdOf(seedId);
  const seed = _id && (await seedsOf(store).findOneAndDelete({ _id }));
  if (!seed) return false;
  for (const blobId of [seed.blobId, ...(seed.previousBlobs ?? [])]) {
    await deleteBlob(store, blobId.toHexString());
  }
  return true;
}
