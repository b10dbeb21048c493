import { findBlob } from './blobs.js';
import { findSeed } from './current-seed.js';
import type { Store } from './mongo.js';

/** A credential that a seed held before. `storedAt` null: its blob is gone. */
export interface PreviousBlob {
  blobId: string;
  storedAt: Date | null;
}

/** What a seed held before, newest first; null when the seed is unknown. */
export async function listPrevious(store: Store, seedId: string): Promise<PreviousBlob[] | null> {
  const seed = await findSeed(store, seedId);
  if (!seed) return null;
  const ids = (seed.previousBlobs ?? []).map((id) => id.toHexString());
  return Promise.all(
    ids.map(async (blobId) => ({ blobId, storedAt: (await findBlob(store, blobId))?.storedAt ?? null })),
  );
}
