import { createHash } from 'node:crypto';
import { ObjectId } from 'mongodb';
import { isLater, refreshedAt } from './auth-shape.js';
import { readCurrentSeed } from './current-seed.js';
import { deleteBlob } from './blobs.js';
import { unleased } from './leases.js';
import { judgedBy } from './lease-clock.js';
import { databaseNow, type Store } from './mongo.js';
import { quarantineAuth } from './quarantine.js';
import { putSecret } from './secret-blobs.js';
import { insertSeedAs, type SeedPlacement } from './insert-seed.js';
import { replaceAuth } from './seed-archive.js';
import { MAX_CONFLICTS, swapBlob } from './swap-blob.js';

/** One seed per task and run: captures of all its assignments go into it. */
export interface CaptureOrigin {
  taskId: string;
  runId: string;
}

/**
 * Stores the credential of a task's home as a new seed. A repeated call of the same run, on any worker, yields that
 * seed: it keeps its pool, and gets these bytes if codex refreshed them later and nobody holds it. `quarantineId`:
 * later bytes that could only be quarantined.
 * @throws TaskError `BadInput` for an auth.json without credential
 */
export async function putCapturedSeed(
  store: Store,
  origin: CaptureOrigin,
  seed: { authJson: Buffer } & SeedPlacement,
): Promise<{ seedId: string; quarantineId: string | null }> {
  const _id = captureIdOf(origin);
  const seedId = _id.toHexString();
  const isNew = await insertSeedAs(store, _id, seed);
  return { seedId, quarantineId: isNew ? null : await refreshCaptured(store, origin, seedId, seed.authJson) };
}

/** Derives the same id for the same run, which the database keeps unique. */
function captureIdOf({ taskId, runId }: CaptureOrigin): ObjectId {
  return new ObjectId(createHash('sha256').update(`capture/${taskId}/${runId}`).digest().subarray(0, 12));
}

async function refreshCaptured(
  store: Store,
  { taskId, runId }: CaptureOrigin,
  seedId: string,
  authJson: Buffer,
): Promise<string | null> {
  const origin = { seedId, holder: `${taskId}/${runId}`, leaseEpoch: 0 };
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const current = await readCurrentSeed(store, seedId);
    if (!current) return quarantineAuth(store, origin, authJson, { taskId, reason: 'the seed is gone' });
    const { seed, base } = current;
    if (base.kind !== 'read') return quarantineAuth(store, origin, authJson, { taskId, reason: base.reason });
    const stored = base.members.authJson;
    if (stored?.equals(authJson)) return null;
    const later = stored && isLater(authJson, stored);
    // Both are from one host when the tokens do not tell.
    if (later === false || (later === null && stored && refreshedAt(authJson) <= refreshedAt(stored)))
      return null;
    const now = judgedBy(store.client, await databaseNow(store));
    if (seed.lease && seed.lease.expiresAt > now) break;
    const place = { kind: 'seed', seedId } as const;
    const archive = await replaceAuth(base.archive, authJson);
    const blobId = await putSecret(store, place, archive, { processId: taskId });
    if (await swapBlob(store, unleased(now), seed, blobId, { authJson, newEpoch: true })) return null;
    await deleteBlob(store, blobId.toHexString());
  }
  const reason = 'the captured seed is in use by now';
  return quarantineAuth(store, origin, authJson, { taskId, reason });
}
