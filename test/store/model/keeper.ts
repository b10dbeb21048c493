import { collectOrphans } from '../../../src/store/collect.js';
import { seedsOf, type SeedDocument } from '../../../src/store/collections.js';
import { markSeed } from '../../../src/store/assign-seed.js';
import { exportOut } from '../../../src/store/export-seed.js';
import { clearExpired, listExpired } from '../../../src/store/leases.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { rekeyAll } from '../../../src/store/rekey.js';
import { deleteSeed } from '../../../src/store/remove-seed.js';
import { restorePrevious, restoreQuarantined } from '../../../src/store/restore.js';
import { importSeed, insertSeed } from '../../../src/store/seeds.js';
import { settleSeed, unsettledSeeds } from '../../../src/store/settle-quarantine.js';
import { TaskError } from '../../../src/errors.js';
import { KEYS, type ModelStore } from './backends.js';
import { only } from './tokens.js';
import { accountOf, bytesOf, POOL, type Keeper, type World } from './world.js';

type Deed = (world: World, store: ModelStore, keeper: Keeper) => Promise<void>;

/** What people at the command line do, and each worker by the clock. */
const DEEDS: Record<string, Deed> = {
  async clears(_world, store) {
    for (const lease of await listExpired(store)) await clearExpired(store, lease);
  },
  async restores(world, store) {
    const records = await listQuarantine(store);
    const record = records[world.random(records.length || 1)];
    if (!record) return;
    const pool = world.random(2) === 0 ? { pool: POOL } : {};
    await restoreQuarantined(store, record.quarantineId, pool).catch((error: unknown) => {
      if (!(error instanceof TaskError)) throw error;
      // Its bytes may have gone with the record, by another who restored it.
      if (error.code === 'Unavailable' || error.message.includes('does not exist')) return;
      const { token } = world.blobs.get(record.blobId) ?? { token: '' };
      if (error.code === 'BadInput' && world.copied.has(accountOf(token))) return;
      throw error;
    });
  },
  async restoresPrevious(world, store) {
    for (const { _id, previousBlobs = [] } of await seedsOf(store).find().toArray())
      for (const blobId of previousBlobs.slice(0, 1))
        await restorePrevious(store, _id.toHexString(), blobId.toHexString()).catch(
          only('Unavailable', 'BadInput'),
        );
    void world;
  },
  async marks(_world, store) {
    for (const { _id, hold } of await seedsOf(store).find().toArray())
      if (!hold) await markSeed(store, _id.toHexString(), 'alive').catch(only('BadInput'));
  },
  async settles(_world, store) {
    for (const seedId of await unsettledSeeds(store)) await settleSeed(store, seedId);
  },
  async rekeys(world, store) {
    const writes = world.random(2) === 0 ? KEYS.a : KEYS.b;
    const other = { ...store, seedKeys: { ...store.seedKeys, writes } };
    for await (const each of rekeyAll(other))
      if (each.outcome === 'failed' && !/does not exist/.test(each.reason)) throw new Error(each.reason);
  },
  async collects(_world, store) {
    await collectOrphans(store);
  },
  /** Adds a file that somebody has: what a seed holds, or what it held. */
  async adds(world, store) {
    const tokens = [...world.known];
    const token = tokens[world.random(tokens.length)];
    if (token === undefined) return;
    const force = world.random(2) === 0;
    world.copied.add(accountOf(token));
    await insertSeed(store, { authJson: bytesOf(world, token), pool: POOL, force }).catch(only('BadInput'));
  },
  async exports(world, store) {
    const seed = await anySeed(world);
    if (!seed) return;
    const exported = await exportOut(store, seed._id.toHexString()).catch(
      only('Unavailable', 'CredentialDead'),
    );
    if (exported?.kind !== 'exported') return;
    world.exports.push(exported.archive);
    // Nothing here puts it back into a pool.
    const still = await seedsOf(world.store).findOne({ _id: seed._id });
    if (still?.poolKey !== undefined) throw new Error('a seed that was exported may still be leased');
  },
  async imports(world, store) {
    const archive = world.exports.at(-1);
    if (archive) await importSeed(store, archive, { pool: POOL }).catch(only('BadInput'));
    if (archive) for (const { token } of world.blobs.values()) world.copied.add(accountOf(token));
  },
  async deletes(world, store, keeper) {
    const seed = await anySeed(world);
    if (!seed || world.random(3) > 0) return;
    keeper.isForced = world.random(3) === 0;
    await deleteSeed(store, seed._id.toHexString(), { force: keeper.isForced }).catch(only('Unavailable'));
    keeper.isForced = false;
  },
};

/** A collection meets what is half done more seldom than others, so there are more of them. */
const ORDERED = [...Object.keys(DEEDS), 'collects', 'collects'];

const anySeed = async ({ store, random }: World): Promise<SeedDocument | undefined> => {
  const seeds = await seedsOf(store).find().toArray();
  return seeds[random(seeds.length || 1)];
};

export function keep(world: World, keeper: Keeper): Promise<void> {
  const store = world.backend.storeOf(keeper.actor, world.random(2) === 0 ? KEYS.a : null);
  keeper.deed = ORDERED[world.random(ORDERED.length)]!;
  keeper.isForced = false;
  return DEEDS[keeper.deed]!(world, store, keeper);
}

/** The end of a run: whatever is left is settled and collected. */
export async function tidy(world: World): Promise<void> {
  const keeper = world.keepers[0]!;
  const { actor } = keeper;
  keeper.deed = 'collects';
  const store = world.backend.storeOf(actor, KEYS.a);
  actor.begin(async () => {
    for (const seedId of await unsettledSeeds(store)) await settleSeed(store, seedId);
    await collectOrphans(store);
  });
  await actor.settle();
  while (actor.busy) await actor.go();
}
