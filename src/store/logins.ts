import type { ObjectId } from 'mongodb';
import { TaskError } from '../errors.js';
import { loginIn, refreshedAt } from './auth-shape.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { isDuplicateKey, type Store } from './mongo.js';

/** Earlier logins of a seed that are remembered: a copy of one of them has a spent token. */
const MAX_EARLIER = 20;

/** What a seed's document says of the credential in its blob. `loginBlob`: the blob that was looked into. */
export type LoginFields = Pick<SeedDocument, 'loginBlob' | 'login' | 'earlierLogins' | 'authRefreshedAt'>;

/** The fields for a credential that replaces what `before` has; a login that does not change is no earlier one. */
export function loginFields(
  authJson: Uint8Array | null,
  loginBlob: ObjectId,
  before: Partial<SeedDocument> = {},
): LoginFields {
  const login = authJson && loginIn(authJson);
  const { login: last, earlierLogins = [] } = before;
  const earlier = [...(last === undefined ? [] : [last]), ...earlierLogins].filter((each) => each !== login);
  return {
    loginBlob,
    authRefreshedAt: new Date(authJson ? refreshedAt(authJson) : 0),
    ...(login !== null && { login }),
    ...(earlier.length > 0 && { earlierLogins: earlier.slice(0, MAX_EARLIER) }),
  };
}

const indexed = new WeakMap<object, Set<string>>();

/** A login is in one seed only: the index is there before a seed is. */
export async function ensureLoginIndex(store: Store): Promise<void> {
  const known = indexed.get(store.client ?? store) ?? new Set();
  const name = `${store.db.databaseName}/${store.prefix}`;
  if (known.has(name)) return;
  await seedsOf(store).createIndex({ login: 1 }, { name: 'by_login', unique: true, sparse: true }, {});
  indexed.set(store.client ?? store, known.add(name));
}

/** The seed that has this login or had it; null when none has. */
export async function seedOfLogin(store: Store, login: string): Promise<SeedDocument | null> {
  const found = await seedsOf(store).findOne({ login });
  return found ?? seedsOf(store).findOne({ earlierLogins: login });
}

/** That a login may not be stored once more: the error names the seed which has it, or had it. */
export function sameLogin(other: Pick<SeedDocument, '_id' | 'poolKey'>, isCurrent = true): TaskError {
  const where = `seed ${other._id.toHexString()}${other.poolKey === undefined ? '' : ` of the pool ${JSON.stringify(other.poolKey)}`}`;
  return new TaskError(
    'BadInput',
    isCurrent
      ? `This login is in ${where} already: two copies of one login cost the account; --force takes the other one out of use`
      : `This login was in ${where}, which has refreshed it since: its token is used up; --force stores it all the same and takes the other one out of use`,
  );
}

/**
 * Writes down which login the blob of a seed holds, where another client stored it. `taken`: another seed has the same
 * one; `changed`: the seed has another blob by now.
 */
export async function noteLogin(
  store: Store,
  seed: SeedDocument,
  authJson: Uint8Array | null,
): Promise<'noted' | 'changed' | { taken: SeedDocument }> {
  const set = loginFields(authJson, seed.blobId, seed);
  await ensureLoginIndex(store);
  try {
    const { matchedCount } = await seedsOf(store).updateOne(
      { _id: seed._id, blobId: seed.blobId },
      set.login === undefined ? { $set: set, $unset: { login: 1 } } : { $set: set },
    );
    return matchedCount === 1 ? 'noted' : 'changed';
  } catch (error) {
    const other =
      isDuplicateKey(error) &&
      set.login !== undefined &&
      (await seedsOf(store).findOne({ login: set.login }));
    if (other && !other._id.equals(seed._id)) return { taken: other };
    throw error;
  }
}

/** Whether nobody has looked into the blob that a seed has now. */
export const isUnread = ({ blobId, loginBlob }: SeedDocument): boolean => !loginBlob?.equals(blobId);
