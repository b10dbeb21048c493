import { seedsOf, type SeedDocument } from './collections.js';
import { heldBy, type Lease } from './leases.js';
import { readCurrentSeed } from './current-seed.js';
import { NOT_HELD } from './hold-seed.js';
import { databaseNow, type Store } from './mongo.js';
import { fingerprint } from './seed-archive.js';

/** Times another write may come between a look at the seed and the change of its lease. */
const MAX_RACES = 5;

/**
 * Acquires an expired lease again that nobody took meanwhile: for `ttlMs` from now, with the next epoch, so that
 * nothing requested under the old one counts. Null: another holder had the seed meanwhile. Recognises an earlier call
 * of this host whose answer was lost by its trace in the seed.
 * @param process identifies this process on the host's data folder; only an adopting one may take another's lease
 */
export async function retakeLease(
  store: Store,
  lease: Lease,
  hostId: string,
  ttlMs: number,
  process?: { id: string; isTakingUp: boolean },
): Promise<Lease | null> {
  const filter = heldBy(lease);
  const retaken = { hostId, ...(process && { by: process.id }) };
  const by = process?.isTakingUp ? undefined : process?.id;
  if (!filter) return null;
  for (let race = 0; race < MAX_RACES; race++) {
    const seed = await seedsOf(store).findOne({ _id: filter._id! });
    const leaseEpoch = seed && epochToTake(seed, lease, hostId, by);
    if (leaseEpoch === null) return null;
    const expiresAt = new Date((await databaseNow(store)).getTime() + ttlMs);
    const next = leaseEpoch + 1;
    const { matchedCount } = await seedsOf(store).updateOne(
      { ...filter, leaseEpoch },
      {
        $set: {
          'lease.expiresAt': expiresAt,
          leaseEpoch: next,
          leaseRetaken: { ...retaken, leaseEpoch: next },
        },
      },
    );
    if (matchedCount === 1) return { ...lease, leaseEpoch: next };
  }
  throw new Error(`Seed ${lease.seedId} was changed ${MAX_RACES} times while its lease was taken again`);
}

/**
 * The same for a lease that ran out and that somebody cleared for that alone, as the Python package does with each
 * one: the epoch is the same, the credential is still the one that this holder saved or got, and the seed was not put out
 * of use, as by an export. False: it is not known that nobody used the seed meanwhile.
 * @param savedAuth fingerprint of that credential; null: none is known
 */
export async function restoreCleared(
  store: Store,
  lease: Lease,
  savedAuth: string | null,
  ttlMs: number,
): Promise<boolean> {
  const current = await readCurrentSeed(store, lease.seedId);
  if (!current || savedAuth === null || current.base.kind !== 'read') return false;
  const { seed, base } = current;
  const { authJson } = base.members;
  if (seed.lease || !authJson || fingerprint(authJson) !== savedAuth) return false;
  const expiresAt = new Date((await databaseNow(store)).getTime() + ttlMs);
  const { matchedCount } = await seedsOf(store).updateOne(
    { _id: seed._id, lease: null, leaseEpoch: lease.leaseEpoch, blobId: seed.blobId, ...NOT_HELD },
    { $set: { lease: { holder: lease.holder, expiresAt } } },
  );
  return matchedCount === 1;
}

/** The epoch under which this lease still has the seed; null: another holder has it. */
function epochToTake(
  seed: SeedDocument,
  { holder, leaseEpoch }: Lease,
  hostId: string,
  by?: string,
): number | null {
  const now = seed.leaseEpoch;
  if (seed.lease?.holder !== holder || now === undefined) return null;
  if (now === leaseEpoch) return now;
  const { leaseRetaken: retaken } = seed;
  const isOurs = retaken?.hostId === hostId && (by === undefined || retaken.by === by);
  return isOurs && retaken.leaseEpoch === now && now > leaseEpoch ? now : null;
}
