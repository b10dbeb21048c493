import { checkMetadata } from './assign-seed.js';
import { seedsOf } from './collections.js';
import { heldBy, type Lease } from './leases.js';
import type { LimitNote } from './limit-seed.js';
import { databaseNow, type Store } from './mongo.js';

/** What a task learned about the usage of its account. */
export interface UsageHeard {
  /** The account as a verification would record it; `known`: the present record, null: none. */
  describe(known: object | null): object;
  /** When the full window ends; null: no window is full. */
  full: { until: Date; limitId: string | null } | null;
}

/**
 * Records the usage of the account in a leased seed, as a verification does. With a full window nobody leases the seed
 * before its end once it is given back, as long as nothing holds it out for longer; what a full window holds out is
 * free again when one with room is heard of. False: the lease is lost, or the seed was changed meanwhile, and nothing
 * is written.
 */
export async function noteUsage(store: Store, lease: Lease, heard: UsageHeard): Promise<boolean> {
  const filter = heldBy(lease);
  const seed = filter && (await seedsOf(store).findOne(filter, { projection: { metadata: 1 } }));
  if (!filter || !seed) return false;
  const { accounts, limitedUntil, usageLimit } = seed.metadata ?? {};
  const [known] = (Array.isArray(accounts) ? accounts : []) as unknown[];
  const account = heard.describe(typeof known === 'object' ? known : null);
  const now = await databaseNow(store);
  const held = limitedUntil instanceof Date ? limitedUntil : null;
  const isLonger = heard.full !== null && !(held && held >= heard.full.until);
  const limit: LimitNote | null = heard.full && {
    kind: 'reset',
    limitId: heard.full.limitId,
    times: 0,
    at: now,
  };
  const isOfWindow = held !== null && (usageLimit as Partial<LimitNote> | undefined)?.times === 0;
  const { matchedCount } = await seedsOf(store).updateOne(
    { ...filter, 'metadata.limitedUntil': limitedUntil ?? null },
    {
      $set: {
        'metadata.accounts': checkMetadata({ accounts: [account] })['accounts'],
        'metadata.accountFetchedAt': now,
        ...(isLonger && { 'metadata.limitedUntil': heard.full!.until, 'metadata.usageLimit': limit }),
      },
      ...(!heard.full && isOfWindow && { $unset: { 'metadata.limitedUntil': 1, 'metadata.usageLimit': 1 } }),
    },
  );
  return matchedCount === 1;
}
