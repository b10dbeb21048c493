import { seedsOf, type SeedDocument } from './collections.js';
import { heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** Times another write may come between a look at the seed and the change of its lease. */
const MAX_RACES = 5;

/**
 * Takes a lease again that ran out, or may have, and that nobody took meanwhile: for `ttlMs` from now, with the next
 * epoch, so that nothing that was asked under the old one counts any more. Null: somebody else had the seed
 * meanwhile. An earlier call of this host whose answer was lost is known by what it left in the seed.
 */
export async function retakeLease(
  store: Store,
  lease: Lease,
  hostId: string,
  ttlMs: number,
): Promise<Lease | null> {
  const filter = heldBy(lease);
  if (!filter) return null;
  for (let race = 0; race < MAX_RACES; race++) {
    const seed = await seedsOf(store).findOne({ _id: filter._id! });
    const leaseEpoch = seed && epochToTake(seed, lease, hostId);
    if (leaseEpoch === null) return null;
    const expiresAt = new Date((await databaseNow(store)).getTime() + ttlMs);
    const next = leaseEpoch + 1;
    const { matchedCount } = await seedsOf(store).updateOne(
      { ...filter, leaseEpoch },
      {
        $set: { 'lease.expiresAt': expiresAt, leaseEpoch: next, leaseRetaken: { hostId, leaseEpoch: next } },
      },
    );
    if (matchedCount === 1) return { ...lease, leaseEpoch: next };
  }
  throw new Error(`Seed ${lease.seedId} was changed ${MAX_RACES} times while its lease was taken again`);
}

/** The epoch under which the seed is this lease's still; null: it is another's. */
function epochToTake(seed: SeedDocument, { holder, leaseEpoch }: Lease, hostId: string): number | null {
  const now = seed.leaseEpoch;
  if (seed.lease?.holder !== holder || now === undefined) return null;
  if (now === leaseEpoch) return now;
  const { leaseRetaken: retaken } = seed;
  return retaken?.hostId === hostId && retaken.leaseEpoch === now && now > leaseEpoch ? now : null;
}
