import { filterOf, type SeedSource } from './acquire-seed.js';
import { objectIdOf, seedsOf } from './collections.js';
import { heldBy, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

/** Which limit an account met. */
export interface MetLimit {
  /** As `UsageLimit`. */
  kind: string;
  /** Codex's name of the limit; null: not known. */
  limitId: string | null;
  /** Refusals in a row, this one included. */
  times: number;
}

/** `metadata.usageLimit` of a seed. */
export interface LimitNote extends MetLimit {
  at: Date;
}

/** A refusal this soon after a hold-out is the next in a row, however short that was. Milliseconds. */
const AT_LEAST_MS = 10 * 60_000;

/**
 * Releases a seed whose account is out of quota: nobody leases it before `until`, by the database's clock. False:
 * another holder has the lease, and nothing changed.
 */
export async function releaseLimited(
  store: Store,
  lease: Lease,
  until: Date,
  limit?: MetLimit,
): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const note = limit && { ...limit, at: await databaseNow(store) };
  const { matchedCount } = await seedsOf(store).updateOne(filter, {
    $set: { lease: null, 'metadata.limitedUntil': until, ...(note && { 'metadata.usageLimit': note }) },
  });
  return matchedCount === 1;
}

/**
 * How often the account of a seed was refused in a row: the last hold-out has not been over for longer than it
 * lasted. With the database's time.
 */
export async function refusalsInARow(
  store: Store,
  seedId: string,
): Promise<{ times: number; nowMs: number }> {
  const nowMs = (await databaseNow(store)).getTime();
  const _id = objectIdOf(seedId);
  const seed = _id && (await seedsOf(store).findOne({ _id }, { projection: { metadata: 1 } }));
  const note = seed?.metadata?.['usageLimit'] as Partial<LimitNote> | undefined;
  const until = seed?.metadata?.['limitedUntil'];
  const { times, at } = note ?? {};
  if (!(until instanceof Date) || !(at instanceof Date) || typeof times !== 'number')
    return { times: 0, nowMs };
  const lastedMs = until.getTime() - at.getTime();
  const isInARow = nowMs < until.getTime() + Math.max(lastedMs, AT_LEAST_MS);
  return { times: isInARow ? times : 0, nowMs };
}

/** When the first account of a source has quota again, and whether all are out; null: none is. */
export async function firstLimit(
  store: Store,
  source: SeedSource,
): Promise<{ until: Date; isAll: boolean } | null> {
  const within = filterOf(source);
  if (within === null) return null;
  const now = await databaseNow(store);
  const living = { ...within, status: { $ne: 'dead' as const } };
  const first = await seedsOf(store).findOne(
    { ...living, 'metadata.limitedUntil': { $gt: now } },
    { projection: { 'metadata.limitedUntil': 1 }, sort: { 'metadata.limitedUntil': 1 } },
  );
  const until = first?.metadata?.['limitedUntil'];
  if (!(until instanceof Date)) return null;
  const other = { ...living, 'metadata.limitedUntil': { $not: { $gt: now } } };
  return { until, isAll: (await seedsOf(store).findOne(other, { projection: { _id: 1 } })) === null };
}
