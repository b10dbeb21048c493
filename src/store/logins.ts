import type { Filter, ObjectId, UpdateFilter } from 'mongodb';
import { TaskError } from '../errors.js';
import { loginIn, refreshedAt } from './auth-shape.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { isDuplicateKey, type Store } from './mongo.js';

/** How many earlier logins of a seed are remembered: a copy of one has a spent token. */
const MAX_EARLIER = 20;
/** How often another seed of a login may appear and vanish between two queries. */
const MAX_RACES = 5;

/** What a seed's document records about the credential in its blob. `loginBlob`: the examined blob. */
export type LoginFields = Pick<SeedDocument, 'loginBlob' | 'login' | 'earlierLogins' | 'authRefreshedAt'>;

/** The fields for a credential that replaces what `before` has; a login that does not change is no earlier one. */
export function loginFields(
  authJson: Uint8Array | null,
  loginBlob: ObjectId,
  before: Partial<SeedDocument> = {},
): LoginFields {
  const login = authJson && loginIn(authJson);
  const earlier = earlierThan(login, before);
  return {
    loginBlob,
    authRefreshedAt: new Date(authJson ? refreshedAt(authJson) : 0),
    ...(login !== null && { login }),
    ...(earlier.length > 0 && { earlierLogins: earlier }),
  };
}

/** The logins of a seed when this one replaces what it has, newest first. */
export const earlierThan = (
  login: string | null,
  { login: last, earlierLogins = [] }: Partial<SeedDocument>,
): string[] =>
  [...(last === undefined ? [] : [last]), ...earlierLogins]
    .filter((each) => each !== login)
    .slice(0, MAX_EARLIER);

const indexed = new WeakMap<object, Set<string>>();

/** The index exists before any seed, so that a login is in one seed only. */
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
  return found ?? seedsOf(store).findOne(hadLogin(login));
}

/** Matches the seed that had a login, without seeds that it replaced. */
const hadLogin = (login: string): Filter<SeedDocument> => ({
  earlierLogins: login,
  'hold.isReplaced': { $ne: true },
});

/**
 * The other logins of seeds that this login replaced. Each token became another one, so that a copy of any is a
 * second copy of the same account.
 */
async function replacedLogins(store: Store, login: string): Promise<string[]> {
  const replaced = { earlierLogins: login, 'hold.isReplaced': true };
  const seeds = await seedsOf(store).find(replaced).toArray();
  return seeds.flatMap(({ earlierLogins = [] }) => earlierLogins);
}

/** `loginFields` of a credential that is new in this seed, with the logins of the seeds it replaces. */
export async function newLoginFields(
  store: Store,
  authJson: Uint8Array | null,
  loginBlob: ObjectId,
  before: Partial<SeedDocument> = {},
): Promise<LoginFields> {
  const login = authJson && loginIn(authJson);
  const replaced = login === null ? [] : await replacedLogins(store, login);
  const earlierLogins = [...new Set([...(before.earlierLogins ?? []), ...replaced])];
  return loginFields(authJson, loginBlob, { ...before, earlierLogins });
}

/** Another seed in use that has the login of this one or had it; null when there is none. */
export async function otherOfLogin(
  store: Store,
  { _id, login, earlierLogins = [] }: SeedDocument,
  more: readonly (string | null)[],
): Promise<SeedDocument | null> {
  const isOther = { _id: { $ne: _id } };
  for (const each of new Set([login, ...more, ...earlierLogins])) {
    if (each === undefined || each === null) continue;
    const found = await seedsOf(store).findOne({ login: each, ...isOther });
    const other = found ?? (await seedsOf(store).findOne({ ...hadLogin(each), ...isOther }));
    if (other) return other;
  }
  return null;
}

/** The error for a login that another seed has or had; it names that seed. */
export function sameLogin(other: Pick<SeedDocument, '_id' | 'poolKey'>, isCurrent = true): TaskError {
  const where = `seed ${other._id.toHexString()}${other.poolKey === undefined ? '' : ` of the pool ${JSON.stringify(other.poolKey)}`}`;
  return new TaskError(
    'BadInput',
    isCurrent
      ? `This login is already in ${where}: two copies of one login lose the account; --force takes the other one out of use`
      : `This login was in ${where}, which has another token of it: one of the two is used up; --force stores it anyway and takes the other one out of use`,
  );
}

/**
 * Records which login the blob of a seed holds after another client stored it. `taken`: another seed has the same
 * login; `changed`: the seed has another blob by now, or was replaced.
 */
export async function noteLogin(
  store: Store,
  seed: SeedDocument,
  authJson: Uint8Array | null,
): Promise<'noted' | 'changed' | { taken: SeedDocument }> {
  const set = await newLoginFields(store, authJson, seed.blobId, seed);
  await ensureLoginIndex(store);
  const { login, earlierLogins } = set;
  // A replaced seed claims no login any more, which would keep the replacing one from being stored.
  const isRead: Filter<SeedDocument> = {
    _id: seed._id,
    blobId: seed.blobId,
    'hold.isReplaced': { $ne: true },
  };
  const write = async (update: UpdateFilter<SeedDocument>) =>
    (await seedsOf(store).updateOne(isRead, update)).matchedCount === 1;
  if (login === undefined) return (await write({ $set: set, $unset: { login: 1 } })) ? 'noted' : 'changed';
  for (let race = 0; race < MAX_RACES; race++) {
    try {
      // No other seed can get it from here on: one that had it has refreshed it already, and is found by that.
      if (!(await write({ $set: { login, ...(earlierLogins && { earlierLogins }) } }))) return 'changed';
      // The seed has refreshed it since, or was to get another token of it: one of the two is spent.
      const later = await seedsOf(store).findOne({ ...hadLogin(login), _id: { $ne: seed._id } });
      const other = later ?? (await seedWithOneOf(store, earlierLogins ?? [], seed._id));
      if (!other) return (await write({ $set: set })) ? 'noted' : 'changed';
      await write({ $unset: { login: 1 } });
      return { taken: other };
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
      const other = await seedsOf(store).findOne({ login });
      if (other && !other._id.equals(seed._id)) return { taken: other };
      // The other one was taken out of use between the two looks.
    }
  }
  throw new TaskError(
    'Unavailable',
    `Seed ${seed._id.toHexString()} and others with its login kept changing; try again`,
  );
}

/**
 * Another seed with one of these earlier logins, recorded between the ends of the seed that showed both and of this
 * one.
 */
async function seedWithOneOf(
  store: Store,
  logins: readonly string[],
  but: ObjectId,
): Promise<SeedDocument | null> {
  if (logins.length === 0) return null;
  return seedsOf(store).findOne({ login: { $in: [...logins] }, _id: { $ne: but } });
}

/** Whether the present blob of a seed was never examined. */
export const isUnread = ({ blobId, loginBlob }: SeedDocument): boolean => !loginBlob?.equals(blobId);
