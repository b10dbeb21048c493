import { checkMetadata } from './assign-seed.js';
import { objectIdOf, seedsOf } from './collections.js';
import { heldBy, unleased, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

export type VerificationLease =
  { kind: 'leased'; lease: Lease } | { kind: 'in-use'; holder: string } | { kind: 'unknown' };

/**
 * Leases one seed to verify it: a dead one and one at its usage limit too, which no task gets, and without
 * changing whose turn it is in its pool. `ttlMs` counts from now by the database's clock.
 */
export async function leaseForVerification(
  store: Store,
  seedId: string,
  holder: string,
  ttlMs: number,
): Promise<VerificationLease> {
  const _id = objectIdOf(seedId);
  if (!_id) return { kind: 'unknown' };
  const now = await databaseNow(store);
  const seed = await seedsOf(store).findOneAndUpdate(
    { _id, ...unleased(now) },
    { $set: { lease: { holder, expiresAt: new Date(now.getTime() + ttlMs) } }, $inc: { leaseEpoch: 1 } },
    { returnDocument: 'after' },
  );
  if (seed) return { kind: 'leased', lease: { seedId, holder, leaseEpoch: seed.leaseEpoch ?? 0 } };
  const other = await seedsOf(store).findOne({ _id }, { projection: { lease: 1 } });
  return other ? { kind: 'in-use', holder: other.lease?.holder ?? 'another' } : { kind: 'unknown' };
}

/** What a verification found. */
export interface SeedFinding {
  verdict: 'alive' | 'dead' | 'inconclusive';
  reason: string;
  /** Account and usage, without any token; null: nothing was learnt, what is stored stays. */
  account: object | null;
  /** When the account can be used again; null: it can now, as far as is known. */
  limitedUntil: Date | null;
}

/**
 * Writes a finding into the seed that this lease holds. A dead seed is leased to no task any more, one found
 * alive is again; an inconclusive finding leaves the status as it is. False: the lease is lost, nothing is written.
 */
export async function recordFinding(store: Store, lease: Lease, finding: SeedFinding): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const { verdict, reason, account, limitedUntil } = finding;
  const now = await databaseNow(store);
  const metadata = checkMetadata({
    verify: { alive: verdict === 'alive', checkedAt: now, verdict, reason },
    ...(account && { accounts: [account], accountFetchedAt: now }),
    ...(limitedUntil && { limitedUntil }),
  });
  const fields = Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value] as const);
  const { matchedCount } = await seedsOf(store).updateOne(filter, {
    $set: {
      ...Object.fromEntries(fields),
      // `updatedAt` stands for the last refresh where that is not known.
      lastVerifiedAt: now,
      ...(verdict !== 'inconclusive' && { status: verdict }),
    },
  });
  return matchedCount === 1;
}
