import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ObjectId, type Filter } from 'mongodb';
import { TaskError } from '../errors.js';
import { FORMATS } from '../formats.js';
import { isLater, loginIn, refreshedAt } from './auth-shape.js';
import { deleteBlob } from './blobs.js';
import { objectIdOf, quarantineOf, type SeedDocument } from './collections.js';
import { readBase, readCurrentSeed, type SeedBase } from './current-seed.js';
import { judgedBy } from './lease-clock.js';
import { unleased } from './leases.js';
import { otherOfLogin } from './logins.js';
import { databaseNow, type Store } from './mongo.js';
import { deleteQuarantined, findQuarantined, readQuarantined } from './quarantine.js';
import { putSecret } from './secret-blobs.js';
import { insertSeedAs } from './insert-seed.js';
import { packSeed, replaceAuth } from './seed-archive.js';
import { isSettling, settleSeed } from './settle-quarantine.js';
import { MAX_CONFLICTS, swapBlob } from './swap-blob.js';

/** Result of a restoration; nothing changed unless it is `restored` or `recreated`. */
export type RestoreResult =
  | { kind: 'restored'; seedId: string; blobId: string }
  /** Its seed was gone, and it is a new one now. */
  | { kind: 'recreated'; seedId: string }
  /** The seed holds this very credential already. */
  | { kind: 'unchanged'; seedId: string }
  /** Nothing has this id. */
  | { kind: 'unknown' }
  | { kind: 'seed-gone'; seedId: string }
  /** The seed has a holder. */
  | { kind: 'leased'; seedId: string; holder: string; until: Date }
  /** The seed has a later refresh, so the other credential is most likely spent. */
  | { kind: 'newer'; seedId: string };

/**
 * Restores a quarantined credential to its seed, which then counts as alive. The replaced one stays among the previous
 * blobs, and the record goes. `force` also replaces a newer credential, never that of a seed somebody holds. A removed
 * seed is created again in `pool`, if given.
 * @throws TaskError `BadInput` when the record's bytes cannot be read, `HostUnfit` when a key is missing here
 */
export async function restoreQuarantined(
  store: Store,
  quarantineId: string,
  { force = false, pool }: { force?: boolean; pool?: string } = {},
): Promise<RestoreResult> {
  const record = await findQuarantined(store, quarantineId);
  const authJson = record && (await readQuarantined(store, quarantineId));
  if (!authJson) return { kind: 'unknown' };
  const { seedId, at } = record;
  const kept = { authJson, keptAt: at };
  let result = await restore(store, seedId, kept, force);
  if (result.kind === 'seed-gone' && pool !== undefined) {
    // The same id however often this is repeated, and by however many.
    const _id = recreatedId(seedId);
    const isNew = await insertSeedAs(store, _id, { authJson, pool, force });
    const newId = _id.toHexString();
    result = isNew ? { kind: 'recreated', seedId: newId } : await restore(store, newId, kept, force);
  }
  if (!['restored', 'recreated', 'unchanged'].includes(result.kind)) return result;
  // A person chose between this and any other quarantined credential of the seed.
  const judged = { seedId, at: { $lte: at }, version: { $not: { $gt: FORMATS.quarantine.version } } };
  await quarantineOf(store).updateMany(judged, { $set: { settled: true } });
  // After a crash here the record is there still, and restoring it again finds nothing to change.
  await deleteQuarantined(store, quarantineId);
  await settleSeed(store, seedId);
  return result;
}

const recreatedId = (seedId: string): ObjectId =>
  objectIdOf(seedId) ??
  new ObjectId(createHash('sha256').update(`restored/${seedId}`).digest().subarray(0, 12));

/**
 * Restores the auth.json of one of the previous blobs of a seed, as `restoreQuarantined` does. The restored blob's
 * place among the previous ones goes to the one it replaces.
 */
export async function restorePrevious(
  store: Store,
  seedId: string,
  blobId: string,
  { force = false }: { force?: boolean } = {},
): Promise<RestoreResult> {
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, seedId);
    if (!current) return { kind: 'seed-gone', seedId };
    const previous = current.seed.previousBlobs?.find((id) => id.equals(objectIdOf(blobId) ?? ''));
    if (!previous) return { kind: 'unknown' };
    const base = await readBase(store, current.seed, previous);
    if (base.kind === 'read' && base.members.authJson) {
      const { authJson } = base.members;
      return restore(store, seedId, { authJson, keptAt: null, blobId: previous }, force);
    }
    if (base.kind === 'locked') throw new TaskError('HostUnfit', base.reason);
    if (base.kind !== 'missing')
      throw new TaskError('BadInput', `Blob ${blobId} of seed ${seedId} holds no auth.json that can be read`);
    // Dropped or replaced by another client in between: then the document has changed.
    const now = await readCurrentSeed(store, seedId);
    if (now?.seed.blobId.equals(current.seed.blobId)) throw new TaskError('BadInput', base.reason);
  }
  throw changedTooOften(seedId);
}

/** Between two looks at a seed that is being settled. Milliseconds. */
const SETTLING_MS = 100;

/** `keptAt` is when it was quarantined; null: before what the seed holds now. */
interface Kept {
  authJson: Buffer;
  keptAt: Date | null;
  blobId?: ObjectId;
}

async function restore(store: Store, seedId: string, kept: Kept, force: boolean): Promise<RestoreResult> {
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, seedId);
    if (!current) return { kind: 'seed-gone', seedId };
    const { seed, base } = current;
    const now = judgedBy(store.client, await databaseNow(store));
    // The settlement is over in a moment.
    if (seed.lease && isSettling(seed.lease.holder) && seed.lease.expiresAt > now) {
      await delay(SETTLING_MS);
      continue;
    }
    if (seed.lease && seed.lease.expiresAt > now)
      return { kind: 'leased', seedId, holder: seed.lease.holder, until: seed.lease.expiresAt };
    if (base.kind === 'locked') throw new TaskError('HostUnfit', base.reason);
    if (base.kind === 'read' && base.members.authJson?.equals(kept.authJson))
      return { kind: 'unchanged', seedId };
    await requireOnlyOne(store, seed, base, kept);
    if (!force && isNewer(seed, base, kept)) return { kind: 'newer', seedId };
    const archive =
      base.kind === 'read' ? await replaceAuth(base.archive, kept.authJson) : await packSeed(kept);
    const blobId = await putSecret(store, { kind: 'seed', seedId }, archive);
    // The new epoch ends the lease that ran out: its holder, should it come back, finds its own bytes in quarantine.
    const isHeldAsRead = { 'hold.at': seed.hold?.at ?? null } as Filter<SeedDocument>;
    const swapped = await swapBlob(store, { ...unleased(now), ...isHeldAsRead }, seed, blobId, {
      authJson: kept.authJson,
      set: { lease: null, status: 'alive' },
      endsHold: true,
      newEpoch: true,
      ...(kept.blobId && { drop: kept.blobId }),
    });
    if (swapped) return { kind: 'restored', seedId, blobId: blobId.toHexString() };
    await deleteBlob(store, blobId.toHexString());
  }
  throw changedTooOften(seedId);
}

/** A seed whose login is in another one does not come back next to it. @throws TaskError `BadInput` naming that one */
async function requireOnlyOne(
  store: Store,
  seed: SeedDocument,
  base: SeedBase,
  { authJson }: Kept,
): Promise<void> {
  if (seed.hold?.kind !== 'duplicate') return;
  const stored = base.kind === 'read' ? base.members.authJson : null;
  const other = await otherOfLogin(store, seed, [loginIn(authJson), stored && loginIn(stored)]);
  if (!other) return;
  throw new TaskError(
    'BadInput',
    `Seed ${seed._id.toHexString()} is out of use: its login is in seed ${other._id.toHexString()}; delete that one first`,
  );
}

/**
 * Whether the credential of a seed was refreshed after the kept one: by the tokens, else by their hosts' times, else
 * by when the database got them. A person may decide otherwise.
 */
function isNewer(seed: SeedDocument, base: SeedBase, { authJson, keptAt }: Kept): boolean {
  if (base.kind !== 'read' || base.members.authJson === null) return false;
  const later = isLater(base.members.authJson, authJson);
  if (later !== null) return later;
  const [stored, kept] = [refreshedAt(base.members.authJson), refreshedAt(authJson)];
  if (stored !== 0 && kept !== 0) return stored > kept;
  const saved = seed.lastRefreshedAt ?? seed.updatedAt;
  return keptAt === null || (saved !== undefined && saved > keptAt);
}

const changedTooOften = (seedId: string): TaskError =>
  new TaskError(
    'Unavailable',
    `Seed ${seedId} was changed by others ${MAX_CONFLICTS} times meanwhile; try again`,
  );
