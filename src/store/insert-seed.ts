import { ObjectId } from 'mongodb';
import { FORMATS } from '../formats.js';
import { loginIn, requireCredential } from './auth-shape.js';
import { checkMetadata } from './assign-seed.js';
import { storeUntilKept } from './blob-fence.js';
import { deleteBlob } from './blobs.js';
import { seedsOf, type SeedDocument } from './collections.js';
import { ensureLoginIndex, newLoginFields, noteLogin, sameLogin, seedOfLogin } from './logins.js';
import { databaseNow, isDuplicateKey, type Store } from './mongo.js';
import { deleteSeed } from './remove-seed.js';
import { putSecret } from './secret-blobs.js';
import { packSeed, unpackSeed } from './seed-archive.js';
import { takeOutDuplicates } from './take-out.js';

/** Where a new seed belongs. */
export interface SeedPlacement {
  pool?: string;
  metadata?: Record<string, unknown>;
  /** Of a login that another seed has or had: the other one goes out of use, unless somebody holds it. */
  force?: boolean;
}

/**
 * Stores a new credential and returns its seed id.
 * @throws TaskError `BadInput` for an auth.json without credential, and for a login that is in a seed already,
 * unless that one was exported
 */
export async function insertSeed(
  store: Store,
  seed: { authJson: Buffer; configToml?: Buffer } & SeedPlacement,
): Promise<string> {
  const { authJson, configToml, ...placement } = seed;
  requireCredential(authJson, 'New seed');
  const archive = await packSeed({ authJson, configToml: configToml ?? null });
  return insertArchive(store, { archive, authJson }, placement);
}

/**
 * The same under an id that the caller chose. False: there is such a seed already, and nothing changed.
 * @throws TaskError as `insertSeed` does
 */
export async function insertSeedAs(
  store: Store,
  seedId: ObjectId,
  { authJson, ...placement }: { authJson: Buffer } & SeedPlacement,
): Promise<boolean> {
  requireCredential(authJson, 'New seed');
  const isKnown = async () => (await seedsOf(store).findOne({ _id: seedId })) !== null;
  if (await isKnown()) return false;
  try {
    await insertArchive(store, { archive: await packSeed({ authJson }), authJson }, placement, seedId);
    return true;
  } catch (error) {
    // Its blob, which no document names, is left to the collector, which recognises a lost answer.
    if (await isKnown()) return false;
    throw error;
  }
}

/**
 * Stores a seed that was exported, all of its members, and returns its new id.
 * @throws TaskError `BadInput` for anything but a seed archive with a valid auth.json, and as `insertSeed` does
 */
export async function importSeed(store: Store, archive: Buffer, placement: SeedPlacement): Promise<string> {
  const authJson = (await unpackSeed(archive)).authJson ?? Buffer.alloc(0);
  requireCredential(authJson, 'New seed');
  return insertArchive(store, { archive, authJson }, placement);
}

async function insertArchive(
  store: Store,
  { archive, authJson }: { archive: Buffer; authJson: Buffer },
  { pool, metadata, force = false }: SeedPlacement,
  _id = new ObjectId(),
): Promise<string> {
  if (metadata) checkMetadata(metadata);
  await ensureLoginIndex(store);
  const login = loginIn(authJson);
  const known = login && (await seedOfLogin(store, login));
  // An exported seed is in use again where it comes back.
  if (known && (force || known.hold?.kind === 'exported')) await takeOutDuplicates(store, login, _id);
  else if (known && !known._id.equals(_id)) throw sameLogin(known, known.login === login);
  const seedId = _id.toHexString();
  const place = { kind: 'seed', seedId } as const;
  const blobId = await putSecret(store, place, archive);
  // Marked as not examined: after a crash the first lease examines it.
  const { loginBlob: _later, ...fields } = await newLoginFields(store, authJson, blobId);
  const seed: SeedDocument = {
    _id,
    createdAt: await databaseNow(store),
    blobId,
    manifestVersion: FORMATS.seed.version,
    ...(pool !== undefined && { poolKey: pool }),
    ...(metadata !== undefined && { metadata }),
    ...fields,
  };
  try {
    await seedsOf(store).insertOne(seed);
  } catch (error) {
    // Another client stored the same login between the look and this.
    const other = isDuplicateKey(error) && login !== null && (await seedOfLogin(store, login));
    if (!other || other._id.equals(_id)) throw error;
    await deleteBlob(store, blobId.toHexString());
    throw sameLogin(other);
  }
  await noteOrRemove(store, seed, authJson, force);
  await storeUntilKept(store, { place, bytes: archive }, blobId, async (from, to) => {
    const change = { $set: { blobId: to, loginBlob: to } };
    return (await seedsOf(store).updateOne({ _id, blobId: from }, change)).matchedCount === 1;
  });
  return seedId;
}

/** How many other seeds of the login may appear between two looks; more than two would be odd. */
const MAX_OTHERS = 5;

/**
 * Records the login of a seed that was just stored; when another seed has it or had it, one of the two is taken out
 * of use.
 */
async function noteOrRemove(
  store: Store,
  seed: SeedDocument,
  authJson: Buffer,
  force: boolean,
): Promise<void> {
  let noted = await noteLogin(store, seed, authJson);
  for (let others = 0; typeof noted !== 'string'; others++) {
    // Another client stored, refreshed or recorded the login between the look and this.
    const { taken } = noted;
    try {
      const login = taken.login ?? loginIn(authJson);
      if (!force || login === null || others === MAX_OTHERS) throw sameLogin(taken, false);
      await takeOutDuplicates(store, login, seed._id);
    } catch (error) {
      // A holder that leased it meanwhile examines it first, with the same result.
      await deleteSeed(store, seed._id.toHexString());
      throw error;
    }
    noted = await noteLogin(store, seed, authJson);
  }
}
