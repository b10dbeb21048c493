import { TaskError } from '../errors.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import { readCurrentSeed } from './current-seed.js';
import { databaseNow, type Store } from './mongo.js';
import { MAX_CONFLICTS } from './swap-blob.js';

/** `leased`: it has a holder, or one whose expired lease nobody cleared and who may still save. */
export type ExportResult =
  /** `wasOut`: it was out of use already. */
  | { kind: 'exported'; archive: Buffer; wasOut: boolean }
  | { kind: 'leased'; holder: string; until: Date }
  | { kind: 'unknown' };

/**
 * Returns the decrypted archive of a seed for use elsewhere: the seed leaves its pool and is held from the same
 * instant on, unless it stays in use. `force`: even when it is leased.
 * @throws TaskError `CredentialDead` when its blob cannot be read, `HostUnfit` when its key is missing here
 */
export async function exportOut(
  store: Store,
  seedId: string,
  { force = false, keep = false }: { force?: boolean; keep?: boolean } = {},
): Promise<ExportResult> {
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, seedId);
    if (!current) return { kind: 'unknown' };
    const { seed, base } = current;
    if (seed.lease && !force)
      return { kind: 'leased', holder: seed.lease.holder, until: seed.lease.expiresAt };
    if (base.kind === 'locked') throw new TaskError('HostUnfit', base.reason);
    if (base.kind !== 'read')
      throw new TaskError('CredentialDead', `Seed ${seedId}: ${base.reason}; log in again`);
    // Reads again unless the seed still holds what was read when it goes out of use.
    const filter = { _id: seed._id, blobId: seed.blobId, ...(force ? {} : { lease: null }) };
    const isSame = keep
      ? (await seedsOf(store).findOne(filter)) !== null
      : (await seedsOf(store).updateOne(filter, await goingOut(store, seed))).matchedCount === 1;
    if (isSame) return { kind: 'exported', archive: base.archive, wasOut: seed.hold !== undefined };
  }
  throw new TaskError(
    'Unavailable',
    `Seed ${seedId} was changed by others ${MAX_CONFLICTS} times meanwhile; try again`,
  );
}

async function goingOut(store: Store, { hold, status = 'alive', poolKey }: SeedDocument) {
  const reason = 'it was exported, and is used elsewhere';
  const pool = poolKey === undefined ? {} : { pool: poolKey };
  const exported = { kind: 'exported', reason, at: await databaseNow(store), was: status, ...pool } as const;
  return {
    $set: { status: 'dead' as const, hold: hold ?? exported },
    $unset: { poolKey: 1 as const },
  };
}

/** Undoes an export that nobody received. */
export async function takeBack(store: Store, seedId: string): Promise<void> {
  const _id = objectIdOf(seedId);
  const seed = _id && (await seedsOf(store).findOne({ _id, 'hold.kind': 'exported' }));
  if (!seed?.hold) return;
  const { was, pool } = seed.hold;
  await seedsOf(store).updateOne(
    { _id: seed._id, 'hold.kind': 'exported' },
    { $set: { status: was, ...(pool !== undefined && { poolKey: pool }) }, $unset: { hold: 1 } },
  );
}
