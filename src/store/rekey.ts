import type { ObjectId } from 'mongodb';
import { reasonOf, TaskError } from '../errors.js';
import { requireKnown } from '../formats.js';
import { storeUntilKept, unfenced } from './blob-fence.js';
import { deleteBlob } from './blobs.js';
import { quarantineOf, seedsOf } from './collections.js';
import type { Store } from './mongo.js';
import { requireKnownRecord } from './quarantine.js';
import { putSecret, readSecret, type Secret, type SecretPlace } from './secret-blobs.js';
import { MAX_CONFLICTS } from './swap-blob.js';

type Outcome = 'rewritten' | 'unchanged' | 'gone';

/** An examined seed or record; `unchanged`: all of its blobs had the key already. */
export type Rekeyed = { kind: SecretPlace['kind']; id: string } & (
  { outcome: Outcome; lost?: readonly LostBlob[] } | { outcome: 'failed'; reason: string }
);

/** A previous credential whose key is missing here. It stays as it is, or is dropped when that was asked for. */
export interface LostBlob {
  blobId: string;
  reason: string;
  dropped: boolean;
}

export interface RekeyOptions {
  /** Drops previous credentials whose key is missing here: it may be lost for good. Never a current one. */
  dropLost?: boolean;
}

/**
 * Writes every credential again with the key that writes now, or plain when none does: current, previous and
 * quarantined. A previous one whose key is missing here does not block the others. Each document is one
 * compare-and-swap, so that it can run while tasks run and be repeated after a crash; what has the key already is left
 * alone. One that fails does not stop the others.
 */
export async function* rekeyAll(
  store: Store,
  { dropLost = false }: RekeyOptions = {},
): AsyncGenerator<Rekeyed> {
  const ids = { projection: { _id: 1 } } as const;
  for (const { _id } of await seedsOf(store).find({}, ids).toArray())
    yield attempt('seed', _id, () => rekeySeed(store, _id, dropLost));
  for (const { _id } of await quarantineOf(store).find({}, ids).toArray())
    yield attempt('quarantine', _id, () => rekeyRecord(store, _id));
}

async function attempt(
  kind: SecretPlace['kind'],
  _id: ObjectId,
  rekey: () => Promise<Outcome | Written>,
): Promise<Rekeyed> {
  const id = _id.toHexString();
  try {
    const done = await rekey();
    return typeof done === 'string' ? { kind, id, outcome: done } : { kind, id, ...done };
  } catch (error) {
    if (!(error instanceof TaskError) || error.code === 'Unavailable') throw error;
    return { kind, id, outcome: 'failed', reason: reasonOf(error) };
  }
}

interface Written {
  outcome: Outcome;
  lost: readonly LostBlob[];
}

async function rekeySeed(store: Store, _id: ObjectId, dropLost: boolean): Promise<Outcome | Written> {
  const place = { kind: 'seed', seedId: _id.toHexString() } as const;
  return untilSettled<Outcome | Written>(`Seed ${place.seedId}`, async () => {
    const seed = await seedsOf(store).findOne({ _id });
    if (!seed) return 'gone';
    requireKnown('seed', seed.manifestVersion, `Seed ${place.seedId}`);
    const previous = seed.previousBlobs ?? [];
    const current = await readSecret(store, place, seed.blobId).catch(async (error: unknown) => {
      // Another writer dropped the blob in between; the document names another one then.
      const now = await seedsOf(store).findOne({ _id });
      if (now?.blobId.equals(seed.blobId)) throw error;
      return null;
    });
    if (current === null) return null;
    const read = await Promise.all(previous.map((id) => readTaskManifest(store, place, id)));
    const kept = read.map((each) => (each instanceof TaskError ? null : each));
    const lost = read.flatMap((each, index) =>
      each instanceof TaskError
        ? [{ blobId: previous[index]!.toHexString(), reason: each.message, dropped: dropLost }]
        : [],
    );
    const isLost = (id: ObjectId) => lost.some(({ blobId }) => blobId === id.toHexString());
    const isDone = [current, ...kept].every((secret) => secret === null || hasKey(store, secret));
    const settled = (outcome: Outcome) => (lost.length > 0 ? { outcome, lost } : outcome);
    if (isDone && !(dropLost && lost.length > 0)) return settled('unchanged');
    const blobId = await putSecret(store, place, current.bytes);
    const written = await Promise.all(
      kept.map(async (secret) =>
        secret && !hasKey(store, secret) ? putSecret(store, place, secret.bytes) : null,
      ),
    );
    const gone = dropLost ? previous.filter(isLost) : [];
    const previousBlobs = previous
      .map((id, index) => written[index] ?? id)
      .filter((id) => !gone.some((each) => each.equals(id)));
    // The times stay: the credential is the same one.
    const { matchedCount } = await seedsOf(store).updateOne(
      { _id, ...unfenced(seed), blobId: seed.blobId },
      {
        $set: {
          blobId,
          // Whether its login is known does not change either.
          ...(seed.loginBlob?.equals(seed.blobId) && { loginBlob: blobId }),
          ...(previous.length > 0 && { previousBlobs }),
        },
      },
    );
    const replaced = [seed.blobId, ...gone, ...previous.filter((_, index) => written[index])];
    const fresh = [blobId, ...written.filter((id) => id !== null)];
    for (const id of matchedCount === 1 ? replaced : fresh) await deleteBlob(store, id.toHexString());
    return matchedCount === 1 ? settled('rewritten') : null;
  });
}

/** A replaced blob; null when it is gone or damaged, why when its key is missing here: then it stays as it is. */
async function readTaskManifest(
  store: Store,
  place: SecretPlace,
  id: ObjectId,
): Promise<Secret | null | TaskError> {
  try {
    return await readSecret(store, place, id);
  } catch (error) {
    if (!(error instanceof TaskError) || error.code === 'Unavailable') throw error;
    return error.code === 'HostUnfit' ? error : null;
  }
}

async function rekeyRecord(store: Store, _id: ObjectId): Promise<Outcome> {
  return untilSettled<Outcome>(`Quarantine record ${_id.toHexString()}`, async () => {
    const record = await quarantineOf(store).findOne({ _id });
    if (!record) return 'gone';
    requireKnownRecord(record);
    const { seedId, blobId: old } = record;
    const place = { kind: 'quarantine', seedId } as const;
    const secret = await readSecret(store, place, old);
    if (hasKey(store, secret)) return 'unchanged';
    const by = { processId: record.taskId };
    const blobId = await putSecret(store, place, secret.bytes, by);
    const rename = async (from: ObjectId, to: ObjectId) => {
      const change = { $set: { blobId: to } };
      return (await quarantineOf(store).updateOne({ _id, blobId: from }, change)).matchedCount === 1;
    };
    const isDone = await rename(old, blobId);
    if (isDone) await storeUntilKept(store, { place, bytes: secret.bytes, by }, blobId, rename);
    await deleteBlob(store, (isDone ? old : blobId).toHexString());
    return isDone ? 'rewritten' : null;
  });
}

const hasKey = (store: Store, { keyId }: Secret): boolean => keyId === (store.seedKeys.writes?.id ?? null);

/** Retries while other writers win. */
async function untilSettled<T>(subject: string, attemptOnce: () => Promise<T | null>): Promise<T> {
  for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
    const outcome = await attemptOnce();
    if (outcome) return outcome;
  }
  throw new TaskError(
    'Unavailable',
    `${subject} was changed by others ${MAX_CONFLICTS} times meanwhile; try again`,
  );
}
