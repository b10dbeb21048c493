import type { Filter } from 'mongodb';
import { checkMetadata } from './assign-seed.js';
import { objectIdOf, seedsOf, type SeedDocument } from './collections.js';
import { isFit } from './fit-seed.js';
import { NOT_HELD, type PutAside } from './hold-seed.js';
import { judgedBy } from './lease-clock.js';
import { heldBy, unleased, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';

export type VerificationLease =
  | { kind: 'leased'; lease: Lease }
  | { kind: 'in-use'; holder: string }
  /** Its newest credential may be elsewhere: what it holds is not to be spent. */
  | { kind: 'held'; reason: string }
  | { kind: 'unknown' };

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
    { _id, ...NOT_HELD, ...unleased(judgedBy(store.client, now)) },
    { $set: { lease: { holder, expiresAt: new Date(now.getTime() + ttlMs) } }, $inc: { leaseEpoch: 1 } },
    { returnDocument: 'after' },
  );
  const lease = { seedId, holder, leaseEpoch: seed?.leaseEpoch ?? 0 };
  if (seed && (await isFit(store, seed, lease))) return { kind: 'leased', lease };
  const other = await seedsOf(store).findOne({ _id }, { projection: { lease: 1, hold: 1, metadata: 1 } });
  const aside = other?.metadata?.['putAside'] as PutAside | undefined;
  const reason =
    other?.hold?.reason ?? (seed && aside ? `its blob cannot be read: ${aside.reason}` : undefined);
  if (reason !== undefined) return { kind: 'held', reason };
  return other ? { kind: 'in-use', holder: other.lease?.holder ?? 'another' } : { kind: 'unknown' };
}

const HELD = { hold: { $ne: null } } as unknown as Filter<SeedDocument>;

/** Whether the usage of an account was read, and no window of it is full. */
function hasWindows(account: object | null): boolean {
  const windows: unknown = account && 'windows' in account ? account.windows : null;
  const isFull = ({ pct }: { pct?: unknown }) => typeof pct !== 'number' || pct >= 100;
  return Array.isArray(windows) && windows.length > 0 && !(windows as { pct?: unknown }[]).some(isFull);
}

/** What a verification found. */
export interface SeedFinding {
  verdict: 'alive' | 'dead' | 'inconclusive';
  reason: string;
  /** Account and usage, without any token; null: nothing was learnt, what is stored stays. */
  account: object | null;
  /** Until when its account is not to be used; null: nothing says so. */
  limitedUntil: Date | null;
  /** Whether its usage was read, and nothing keeps it from being used. Default: by the account's windows. */
  hasRoom?: boolean;
}

/**
 * Writes a finding into the seed that this lease holds. A dead seed is leased to no task any more, one found
 * alive is again; an inconclusive finding leaves the status as it is. False: the lease is lost, nothing is written.
 */
export async function recordFinding(store: Store, lease: Lease, finding: SeedFinding): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const { verdict, reason, account, limitedUntil } = finding;
  const hasRoom = finding.hasRoom ?? (limitedUntil === null && hasWindows(account));
  const now = await databaseNow(store);
  const metadata = checkMetadata({
    verify: { alive: verdict === 'alive', checkedAt: now, verdict, reason },
    ...(account && { accounts: [account], accountFetchedAt: now }),
    ...(limitedUntil && { limitedUntil }),
  });
  const fields = Object.entries(metadata).map(([key, value]) => [`metadata.${key}`, value] as const);
  const write = async (where: Filter<SeedDocument>, statusField: 'status' | 'hold.was') => {
    const { matchedCount } = await seedsOf(store).updateOne(
      { ...filter, ...where },
      {
        $set: {
          ...Object.fromEntries(fields),
          // `updatedAt` stands for the last refresh where that is not known.
          lastVerifiedAt: now,
          ...(verdict !== 'inconclusive' && { [statusField]: verdict }),
        },
        ...(hasRoom && { $unset: { 'metadata.limitedUntil': 1, 'metadata.usageLimit': 1 } }),
      },
    );
    return matchedCount === 1;
  };
  // A seed that a person took out of use meanwhile stays out of use.
  return (await write(NOT_HELD, 'status')) || write(HELD, 'hold.was');
}
