import { ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { isLater, refreshedAt, requireCredential } from './auth-shape.js';
import { deleteBlob } from './blobs.js';
import type { SeedDocument } from './collections.js';
import { readBase, readCurrentSeed } from './current-seed.js';
import { rightToSave, type Lease } from './leases.js';
import type { Store } from './mongo.js';
import { isQuarantined, quarantineAuth } from './quarantine.js';
import { putSecret } from './secret-blobs.js';
import { packSeed, replaceAuth, type SeedMembers } from './seed-archive.js';
import { closeRecord, settleSeed } from './settle-quarantine.js';
import { MAX_CONFLICTS, swapBlob } from './swap-blob.js';

export { importSeed, insertSeed, insertSeedAs, type SeedPlacement } from './insert-seed.js';
export { listSeeds, type SeedInfo } from './seed-info.js';

export type SaveBackResult =
  | { kind: 'saved'; blobId: string }
  | { kind: 'unchanged' }
  | { kind: 'quarantined'; reason: string; quarantineId: string };

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

/** Identifies the save. */
export interface SaveContext {
  taskId: string;
  /** The seed had these bytes: checks whether another client replaced them, and quarantines nothing older. */
  confirms?: boolean;
}

/**
 * Puts a changed auth.json into its seed, in one compare-and-swap on holder, epoch and the replaced blob; also after
 * the lease was cleared, as long as nobody took the seed. When the lease is lost, the seed gone or its blob not to be
 * read, the bytes are kept in quarantine. The three replaced blobs before the current one are kept too. Bytes whose
 * tokens were issued before those that the seed has go to quarantine and count as unchanged; where the tokens do not
 * tell, `last_refresh` does among calls of one lease that overlap. A call that failed may be repeated.
 * @throws TaskError `BadInput` for an auth.json without credential: nothing is written
 */
export async function saveBack(
  store: Store,
  lease: Lease,
  authJson: Buffer,
  context: SaveContext,
): Promise<SaveBackResult> {
  requireCredential(authJson, `Seed ${lease.seedId}`);
  const { taskId, confirms = false } = context;
  const keepAside = async (reason: string): Promise<SaveBackResult> => {
    const quarantineId = await quarantineAuth(store, lease, authJson, { taskId, reason });
    // The next lease does this too; doing it now only keeps other clients away and reports it.
    await settleSeed(store, lease.seedId).catch(() => undefined);
    return { kind: 'quarantined', reason, quarantineId };
  };
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, lease.seedId);
    if (!current) return keepAside('the seed is gone');
    const { seed, base } = current;
    const stored = base.kind === 'read' ? base.members.authJson : null;
    if (stored?.equals(authJson)) return { kind: 'unchanged' };
    const later = stored && isLater(stored, authJson);
    const mine = rightToSave(lease, seed);
    if (!mine) {
      if (confirms && (later || (await isKept(store, seed, authJson)))) return { kind: 'unchanged' };
      return keepAside(lossOf(seed));
    }
    if (base.kind === 'unreadable' || base.kind === 'locked') return keepAside(base.reason);
    if (later && confirms) return { kind: 'unchanged' };
    if (later || (conflicts > 0 && later === null && stored && refreshedAt(stored) > refreshedAt(authJson))) {
      await keepAside('the seed already has a later refresh');
      return { kind: 'unchanged' };
    }
    const place = { kind: 'seed', seedId: lease.seedId } as const;
    const archive =
      base.kind === 'read' ? await replaceAuth(base.archive, authJson) : await packSeed({ authJson });
    const blobId = await putSecret(store, place, archive, { processId: taskId });
    if (await swapBlob(store, mine, seed, blobId, { authJson })) {
      if (base.kind === 'missing') await keepCopy(store, lease, authJson, { taskId, reason: base.reason });
      return { kind: 'saved', blobId: blobId.toHexString() };
    }
    await deleteBlob(store, blobId.toHexString());
  }
  return keepAside(`the seed was changed by others ${MAX_CONFLICTS} times meanwhile`);
}

/** A client that deleted a named blob may do so again, so the replacement gets an unconditional copy. */
async function keepCopy(
  store: Store,
  lease: Lease,
  authJson: Buffer,
  context: { taskId: string; reason: string },
): Promise<void> {
  const quarantineId = await quarantineAuth(store, lease, authJson, context);
  await closeRecord(store, { _id: new ObjectId(quarantineId) });
}

/** Whether the database has these bytes besides what the seed holds now. */
async function isKept(store: Store, seed: SeedDocument, authJson: Buffer): Promise<boolean> {
  for (const blobId of seed.previousBlobs ?? []) {
    const base = await readBase(store, seed, blobId);
    if (base.kind === 'read' && base.members.authJson?.equals(authJson)) return true;
  }
  return isQuarantined(store, seed._id.toHexString(), authJson);
}

function lossOf(seed: SeedDocument): string {
  const holder = seed.lease?.holder;
  if (holder === undefined) return 'the lease was released or reaped, and the seed used since';
  return `the lease is now held by ${holder} with epoch ${seed.leaseEpoch ?? 0}`;
}
