import { seedsOf } from './collections.js';
import { heldBy, type Lease } from './leases.js';
import type { Store } from './mongo.js';

/**
 * Gives back a seed whose account is out of quota: nobody leases it before `until`, by the database's clock.
 * False: the lease was not ours any more, and nothing changed.
 */
export async function releaseLimited(store: Store, lease: Lease, until: Date): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const { matchedCount } = await seedsOf(store).updateOne(filter, {
    $set: { lease: null, 'metadata.limitedUntil': until },
  });
  return matchedCount === 1;
}
