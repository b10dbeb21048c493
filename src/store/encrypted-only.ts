import type { Collection } from 'mongodb';
import { TaskError } from '../errors.js';
import type { SeedKeys } from './cipher.js';
import type { Store } from './mongo.js';

interface Setting {
  _id: 'encryption';
  only: true;
}

const settingsOf = (store: Pick<Store, 'db' | 'prefix'>): Collection<Setting> =>
  store.db.collection(`${store.prefix}_codex_settings`);

/**
 * The keys by which credentials of this database are written and read: whoever has said once that only encrypted ones
 * count has said it for every process, also for one that has lost its environment.
 * @throws TaskError `BadInput` when such a process has no key that writes
 */
export async function requiredKeys(
  store: Pick<Store, 'db' | 'prefix'>,
  seedKeys: SeedKeys,
): Promise<SeedKeys> {
  const isSaid = (await settingsOf(store).findOne({ _id: 'encryption' })) !== null;
  if (!isSaid && !seedKeys.only) return seedKeys;
  if (seedKeys.writes === null)
    throw new TaskError(
      'BadInput',
      `CODEX_TASK_SEED_KEY: the database takes encrypted credentials only (${store.prefix}_codex_settings says so): set the key that writes`,
    );
  if (!isSaid)
    await settingsOf(store).updateOne({ _id: 'encryption' }, { $set: { only: true } }, { upsert: true });
  return { ...seedKeys, only: true };
}
