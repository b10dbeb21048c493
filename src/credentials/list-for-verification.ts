import { isStale, readAuthFacts, STALE_MS } from '../codex/auth-json.js';
import { listSeeds, refreshedSince, type SeedInfo } from '../store/seed-info.js';
import { readSeed } from '../store/seeds.js';
import { credentialIn } from '../store/auth-shape.js';
import type { Store } from '../store/mongo.js';
import type { VerifyPoolResult } from '../contract/verification.js';

export interface SeedsToVerify {
  seedIds: string[];
  skipped: VerifyPoolResult['skipped'];
  left: number;
}

/**
 * The idle living seeds of a pool, those verified longest ago first; without `all` only those whose login is stale.
 * A pool without seeds is an empty list.
 */
export async function listForVerification(
  store: Store,
  { pool, all, limit }: { pool: string; all: boolean; limit: number },
): Promise<SeedsToVerify> {
  const seeds = await listSeeds(store, pool);
  const fresh = await refreshedSince(store, pool, new Date(Date.now() - STALE_MS));
  const skipped = { fresh: 0, dead: 0, inUse: 0 };
  const due: SeedInfo[] = [];
  for (const seed of seeds) {
    if (seed.status === 'dead') skipped.dead++;
    else if (seed.leased) skipped.inUse++;
    else if (all || (!fresh.has(seed.seedId) && (await needsRefresh(store, seed.seedId)))) due.push(seed);
    else skipped.fresh++;
  }
  const checkedAt = ({ lastVerifiedAt }: SeedInfo) => lastVerifiedAt?.getTime() ?? 0;
  due.sort((one, other) => checkedAt(one) - checkedAt(other));
  const seedIds = due.slice(0, limit).map(({ seedId }) => seedId);
  return { seedIds, skipped, left: due.length - seedIds.length };
}

/** An unreadable seed is left to the verification. Blobs are read only of seeds that do not tell by themselves. */
async function needsRefresh(store: Store, seedId: string): Promise<boolean> {
  const seed = await readSeed(store, seedId).catch(() => null);
  const facts = seed?.authJson && readAuthFacts(seed.authJson);
  if (!facts) return true;
  if (facts.refreshToken !== null) return isStale(facts, new Date());
  return credentialIn(seed.authJson!) === 'tokens';
}
