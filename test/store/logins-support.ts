import { ObjectId } from 'mongodb';
import { expect } from 'vitest';
import { acquireSeed } from '../../src/store/acquire-seed.js';
import { putBlob } from '../../src/store/blobs.js';
import { seedsOf, type SeedDocument } from '../../src/store/collections.js';
import type { Store } from '../../src/store/mongo.js';
import { packSeed } from '../../src/store/seed-archive.js';
import { MINUTE } from './support.js';

/** What tests of logins ask of the store of their file. */
export function loginsIn(use: { readonly store: Store }) {
  return {
    /** As the Python package stores one. */
    foreignSeed: async (authJson: Buffer, pool = 'p'): Promise<string> => {
      const archive = await packSeed({ authJson });
      const blobId = new ObjectId(await putBlob(use.store, archive, { filename: 'seed' }));
      const _id = new ObjectId();
      const seed: SeedDocument = { _id, createdAt: new Date(), blobId, manifestVersion: 1, poolKey: pool };
      await seedsOf(use.store).insertOne(seed);
      return _id.toHexString();
    },
    /** How many leases can be had at once, each by another holder. */
    leasable: async (pool = 'p'): Promise<number> => {
      for (let count = 0; ; count++) {
        const { kind } = await acquireSeed(use.store, { pool }, `holder-${count}/r`, MINUTE);
        if (kind !== 'leased') return count;
      }
    },
  };
}

/** An error that names this seed. */
export const named = (seedId: string) => ({
  code: 'BadInput',
  message: expect.stringContaining(seedId) as string,
});
