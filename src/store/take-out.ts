import type { Filter, ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { judgedBy } from './lease-clock.js';
import { unleased } from './leases.js';
import { earlierThan, seedOfLogin } from './logins.js';
import { databaseNow, type Store } from './mongo.js';

/** How many seeds of one login are taken out of use at once; more than two would be odd. */
const MAX_OTHERS = 20;

/**
 * Takes the seeds out of use that have this login or had it: `by` is to be the one seed of it. A crash before that one
 * is stored leaves them held, and the same call continues from there: they keep what tells of the login.
 * @throws TaskError `BadInput` when somebody holds one of them
 */
export async function takeOutDuplicates(store: Store, login: string, by: ObjectId): Promise<void> {
  const reason = `its login is in seed ${by.toHexString()}`;
  for (let count = 0; count < MAX_OTHERS; count++) {
    const other = await seedOfLogin(store, login);
    if (!other || other._id.equals(by)) return;
    const now = await databaseNow(store);
    const was = other.hold?.was ?? other.status ?? 'alive';
    // Also requires the recorded login to be as it was read, since the replacing seed takes it over.
    const asRead = { _id: other._id, blobId: other.blobId, ...loginOf(other) };
    const { matchedCount } = await seedsOf(store).updateOne(
      { ...asRead, ...unleased(judgedBy(store.client, now)) },
      {
        // The new epoch ends the lease that ran out: its holder, should it come back, must not use the login again.
        $set: {
          status: 'dead',
          hold: { kind: 'duplicate', reason, at: now, was, isReplaced: true },
          lease: null,
          earlierLogins: earlierThan(null, other),
        },
        $inc: { leaseEpoch: 1 },
        $unset: { login: 1 },
      },
    );
    if (matchedCount === 1) continue;
    const seed = await seedsOf(store).findOne({ _id: other._id });
    if (seed?.lease && seed.lease.expiresAt > judgedBy(store.client, now))
      throw new TaskError(
        'BadInput',
        `This login is in seed ${other._id.toHexString()}, which ${seed.lease.holder} uses until ${seed.lease.expiresAt.toISOString()}: close that task first`,
      );
  }
}

/** Matches a seed as long as it has the login that it had when it was read. */
const loginOf = ({ login }: SeedDocument): Filter<SeedDocument> =>
  ({ login: login ?? null }) as Filter<SeedDocument>;
