import { randomBytes } from 'node:crypto';
import type { Filter, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { accountIn, isLater } from './auth-shape.js';
import { deleteBlob } from './blobs.js';
import {
  objectIdOf,
  quarantineOf,
  seedsOf,
  type QuarantineDocument,
  type SeedDocument,
} from './collections.js';
import { readCurrentSeed, type SeedBase } from './current-seed.js';
import { endHold, holdSeed } from './hold-seed.js';
import { judgedBy } from './lease-clock.js';
import { heldBy, releaseLease, unleased, type Lease } from './leases.js';
import { databaseNow, type Store } from './mongo.js';
import { deleteQuarantined, findQuarantined, readQuarantined } from './quarantine.js';
import { putSecret } from './secret-blobs.js';
import { packSeed, replaceAuth } from './seed-archive.js';
import { swapBlob } from './swap-blob.js';

/** Long enough for a few questions to the database. Milliseconds. */
const SETTLE_TTL_MS = 60_000;
/** Limit of records and lost races in one settlement. */
const MAX_LOOKS = 50;

/** `fit`: the seed has the newest known credential; `held`: it has not, or that is unknown, and it was released. */
export type Settled = 'fit' | 'held';

/**
 * Compares quarantined credentials of a leased seed with its own. Later tokens go into the seed; earlier ones stay in
 * quarantine and no longer count. Where they cannot be compared or read here, a person decides: the seed is held and
 * the lease released.
 */
export async function settleUnderLease(store: Store, lease: Lease): Promise<Settled> {
  for (let looks = 0; looks < MAX_LOOKS; looks++) {
    const open = await unsettledRecords(store, lease.seedId);
    const current = await readCurrentSeed(store, lease.seedId);
    const held = heldBy(lease);
    if (!current || !held) return 'held';
    const { seed, base } = current;
    if (open.length === 0) {
      await endHold(store, seed, 'quarantined', held);
      return 'fit';
    }
    let doubt: string | null = null;
    let isChanged = false;
    for (const record of open) {
      const verdict = await judge(store, record, base);
      if (verdict.kind === 'doubt') doubt ??= `quarantine record ${record._id.toHexString()} ${verdict.why}`;
      else if (verdict.kind === 'older') await closeRecord(store, record);
      else if (!(await promote(store, lease, seed, base, verdict.authJson))) return 'held';
      else isChanged = true;
      // Judges the rest against what the seed holds now.
      if (isChanged) break;
    }
    if (isChanged || doubt === null) continue;
    await holdSeed(store, lease, { kind: 'quarantined', reason: doubt });
    return 'held';
  }
  throw new TaskError('Unavailable', `Seed ${lease.seedId} kept being changed by others; try again`);
}

/** The same for a seed without a holder; null: it has one, or is unknown. */
export async function settleSeed(store: Store, seedId: string): Promise<Settled | null> {
  const _id = objectIdOf(seedId);
  if (!_id) return null;
  const now = await databaseNow(store);
  if (!(await wantsSettling(store, _id))) return 'fit';
  const holder = `${SETTLER}${seedId}-${randomBytes(4).toString('hex')}`;
  const expiresAt = new Date(now.getTime() + SETTLE_TTL_MS);
  const seed = await seedsOf(store).findOneAndUpdate(
    { _id, ...unleased(judgedBy(store.client, now)) },
    { $set: { lease: { holder, expiresAt } }, $inc: { leaseEpoch: 1 } },
    { returnDocument: 'after' },
  );
  if (!seed) return null;
  const lease = { seedId, holder, leaseEpoch: seed.leaseEpoch ?? 0 };
  const settled = await settleUnderLease(store, lease);
  await releaseLease(store, lease);
  return settled;
}

/**
 * Drops a record for good, as a person decided; its seed may be leased again if nothing else keeps it. False: there is
 * no such record.
 */
export async function dismissQuarantined(store: Store, quarantineId: string): Promise<boolean> {
  const record = await findQuarantined(store, quarantineId);
  if (!record || !(await deleteQuarantined(store, quarantineId))) return false;
  await settleSeed(store, record.seedId);
  return true;
}

/** Whether a seed has something to judge, or the cause of its hold may be over. */
async function wantsSettling(store: Store, _id: ObjectId): Promise<boolean> {
  if (await hasOpenRecord(store, _id.toHexString())) return true;
  return (await seedsOf(store).findOne({ _id, 'hold.kind': 'quarantined' })) !== null;
}

const SETTLER = 'settle-';
export const isSettling = (holder: string): boolean => holder.startsWith(SETTLER);

/** The seeds of which something in quarantine is not judged yet; `held`: also those that wait for a person. */
export async function unsettledSeeds(store: Store, { held = true } = {}): Promise<string[]> {
  const named: unknown[] = await quarantineOf(store).distinct('seedId', { settled: { $ne: true } });
  const ids = named.flatMap((each) => (typeof each === 'string' ? (objectIdOf(each) ?? []) : []));
  // The embedded server reads all seeds for a list of none.
  if (ids.length === 0) return [];
  const kept = held ? {} : ({ hold: null } as unknown as Filter<SeedDocument>);
  const seeds = await seedsOf(store)
    .find({ _id: { $in: ids }, ...kept }, { projection: { _id: 1 } })
    .toArray();
  return seeds.map(({ _id }) => _id.toHexString());
}

/** Records that were not judged, the newest first: the last one that was refreshed is the likeliest. */
export const unsettledRecords = (store: Store, seedId: string): Promise<QuarantineDocument[]> =>
  quarantineOf(store)
    .find({ seedId, settled: { $ne: true } }, { sort: { at: -1, _id: -1 } })
    .toArray();

export const hasOpenRecord = async (store: Store, seedId: string): Promise<boolean> =>
  (await quarantineOf(store).findOne({ seedId, settled: { $ne: true } }, { projection: { _id: 1 } })) !==
  null;

/** Marks a record that no longer counts for leases of its seed; it stays for people. */
export async function closeRecord(store: Store, { _id }: Pick<QuarantineDocument, '_id'>): Promise<void> {
  await quarantineOf(store).updateOne({ _id }, { $set: { settled: true } });
}

type Verdict = { kind: 'later'; authJson: Buffer } | { kind: 'older' } | { kind: 'doubt'; why: string };

async function judge(store: Store, record: QuarantineDocument, base: SeedBase): Promise<Verdict> {
  const authJson = await readRecord(store, record);
  if (typeof authJson === 'string') return { kind: 'doubt', why: authJson };
  if (base.kind === 'locked') return { kind: 'doubt', why: `cannot be compared: ${base.reason}` };
  const stored = base.kind === 'read' ? base.members.authJson : null;
  if (!stored) return { kind: 'later', authJson };
  if (stored.equals(authJson)) return { kind: 'older' };
  const [kept, own] = [accountIn(authJson), accountIn(stored)];
  if (kept !== null && own !== null && kept !== own) return { kind: 'older' };
  const later = isLater(authJson, stored);
  if (later === null) return { kind: 'doubt', why: 'may be newer than what the seed holds' };
  return later ? { kind: 'later', authJson } : { kind: 'older' };
}

/** The bytes, or why there are none. */
async function readRecord(store: Store, { _id }: QuarantineDocument): Promise<Buffer | string> {
  try {
    return (await readQuarantined(store, _id.toHexString())) ?? 'is gone';
  } catch (error) {
    if (error instanceof TaskError && error.code !== 'Unavailable') return `cannot be read: ${error.message}`;
    throw error;
  }
}

/** False: the lease is lost. */
async function promote(
  store: Store,
  lease: Lease,
  seed: SeedDocument,
  base: SeedBase,
  authJson: Buffer,
): Promise<boolean> {
  const filter = heldBy(lease);
  if (!filter) return false;
  const archive =
    base.kind === 'read' ? await replaceAuth(base.archive, authJson) : await packSeed({ authJson });
  const blobId = await putSecret(store, { kind: 'seed', seedId: lease.seedId }, archive);
  // An exported seed, or one whose login is in another seed, stays out of use with the newer credential too.
  const isOut = seed.hold !== undefined && seed.hold.kind !== 'quarantined';
  const ends = isOut ? {} : ({ set: { status: 'alive' }, endsHold: true } as const);
  if (await swapBlob(store, filter, seed, blobId, { authJson, ...ends })) return true;
  await deleteBlob(store, blobId.toHexString());
  return (await seedsOf(store).findOne(filter, { projection: { _id: 1 } })) !== null;
}
