import { objectIdOf, seedsOf, type SeedDocument, type SeedStatus } from './collections.js';
import type { PutAside } from './hold-seed.js';
import type { LimitNote } from './limit-seed.js';
import { isUnread } from './logins.js';
import { databaseNow, type Store } from './mongo.js';

/** Whether a seed can be leased now, by the database's clock, and if not why. */
export type SeedState =
  | 'free'
  | 'leased'
  | 'limited'
  | 'dead'
  /** Its newest credential may be in quarantine. */
  | 'quarantined'
  /** Its login is in another seed. */
  | 'duplicate'
  /** It is used elsewhere. */
  | 'exported'
  /** It could not be read a while ago. */
  | 'aside';

/** When codex refreshed what is in a seed, as it says; null: it does not, or nobody looked into the blob yet. */
const refreshedIn = (seed: SeedDocument): Date | null =>
  seed.authRefreshedAt && !isUnread(seed) && seed.authRefreshedAt.getTime() > 0 ? seed.authRefreshedAt : null;

/** The seeds of a pool whose login was refreshed since: there is nothing to verify in them. */
export async function refreshedSince(store: Store, pool: string, since: Date): Promise<ReadonlySet<string>> {
  const projection = { blobId: 1, loginBlob: 1, authRefreshedAt: 1 } as const;
  const seeds = await seedsOf(store).find({ poolKey: pool }, { projection }).toArray();
  return new Set(
    seeds.filter((seed) => (refreshedIn(seed) ?? new Date(0)) > since).map(({ _id }) => _id.toHexString()),
  );
}

/** A seed as it is listed: everything but the credential. Ids in hex. */
export interface SeedInfo {
  seedId: string;
  pool: string | null;
  state: SeedState;
  status: SeedStatus;
  leased: boolean;
  holder: string | null;
  leasedUntil: Date | null;
  /** What keeps it from being leased, where that is neither a lease nor its account. */
  why?: string;
  /** When the account's usage limit ends; null when it is at none. */
  limitedUntil: Date | null;
  /** Which limit the account met last, and how often in a row. */
  limit?: LimitNote;
  /** What was read of the account, and when: one line with how much of it is used, and what it spent. */
  usage?: { readAt: Date; summary: string; lifetimeTokens: number | null };
  createdAt: Date;
  lastLeasedAt: Date | null;
  lastRefreshedAt: Date | null;
  lastVerifiedAt: Date | null;
  /** Replaced blobs that are still kept, newest first. */
  previousBlobs: string[];
  metadata: Record<string, unknown>;
}

/** Every seed, or those of one pool, oldest first. */
export async function listSeeds(store: Store, pool?: string): Promise<SeedInfo[]> {
  const now = await databaseNow(store);
  const seeds = await seedsOf(store)
    .find(pool === undefined ? {} : { poolKey: pool }, { sort: { createdAt: 1, _id: 1 } })
    .toArray();
  return seeds.map((seed) => describeSeed(seed, now));
}

/** One seed; null when it is unknown, as one with a malformed id is. */
export async function findSeedInfo(store: Store, seedId: string): Promise<SeedInfo | null> {
  const _id = objectIdOf(seedId);
  const seed = _id && (await seedsOf(store).findOne({ _id }));
  return seed && describeSeed(seed, await databaseNow(store));
}

function describeSeed(seed: SeedDocument, now: Date): SeedInfo {
  const status = seed.status ?? 'alive';
  const lease = seed.lease && seed.lease.expiresAt > now ? seed.lease : null;
  const limit = seed.metadata?.['limitedUntil'];
  const limitedUntil = limit instanceof Date && limit > now ? limit : null;
  const note = seed.metadata?.['usageLimit'] as LimitNote | undefined;
  const aside = seed.metadata?.['putAside'] as PutAside | undefined;
  const isAside = aside?.until instanceof Date && aside.until > now;
  const why = seed.hold?.reason ?? (isAside ? aside.reason : undefined);
  return {
    seedId: seed._id.toHexString(),
    pool: seed.poolKey ?? null,
    state: lease ? 'leased' : (seed.hold?.kind ?? stateBy(status, limitedUntil, isAside)),
    ...(why !== undefined && { why }),
    status,
    leased: lease !== null,
    holder: lease?.holder ?? null,
    leasedUntil: lease?.expiresAt ?? null,
    limitedUntil,
    ...(note && { limit: note }),
    ...usageIn(seed.metadata),
    createdAt: seed.createdAt,
    lastLeasedAt: seed.lastLeasedAt ?? null,
    lastRefreshedAt: seed.lastRefreshedAt ?? seed.updatedAt ?? null,
    lastVerifiedAt: seed.lastVerifiedAt ?? null,
    previousBlobs: (seed.previousBlobs ?? []).map((id) => id.toHexString()),
    metadata: seed.metadata ?? {},
  };
}

/** What a verification wrote down, in the form of the Python package. */
function usageIn(metadata: SeedDocument['metadata']): Pick<SeedInfo, 'usage'> {
  const { accounts, accountFetchedAt: readAt } = metadata ?? {};
  const [account] = (Array.isArray(accounts) ? accounts : []) as unknown[];
  if (!(readAt instanceof Date) || typeof account !== 'object' || account === null) return {};
  const { summary, lifetime_tokens: spent } = account as { summary?: unknown; lifetime_tokens?: unknown };
  if (typeof summary !== 'string') return {};
  return { usage: { readAt, summary, lifetimeTokens: typeof spent === 'number' ? spent : null } };
}

function stateBy(status: SeedStatus, limitedUntil: Date | null, isAside: boolean): SeedState {
  if (status === 'dead') return 'dead';
  if (limitedUntil) return 'limited';
  return isAside ? 'aside' : 'free';
}
