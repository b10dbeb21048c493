import { ObjectId, type Document } from 'mongodb';
import { seedsOf } from '../../../src/store/collections.js';
import { isUnread } from '../../../src/store/logins.js';
import { packSeed } from '../../../src/store/seed-archive.js';
import { accountOf, bytesOf, comesFrom, POOL, refresh, TTL_MS, type Foreigner, type World } from './world.js';

// What the Python package does (test/store/python runs it): it counts no epochs, stores by id alone and deletes what it
// replaces. Each function is one act.

const seeds = (world: World, { actor }: Foreigner) => {
  const store = world.backend.storeOf(actor, null);
  return { store, collection: store.db.collection(`${store.prefix}_codex_seeds`) };
};

export async function foreignAcquire(world: World, me: Foreigner): Promise<void> {
  const { collection } = seeds(world, me);
  const now = world.clock.now;
  const found: Document | null = await collection.findOneAndUpdate(
    { poolKey: POOL, status: { $ne: 'dead' }, 'lease.expiresAt': { $not: { $gt: new Date(now) } } },
    {
      $set: {
        lease: { holder: me.holder, expiresAt: new Date(now + TTL_MS) },
        lastLeasedAt: new Date(now),
      },
    },
    { sort: { lastLeasedAt: 1 } },
  );
  if (!found) return;
  const _id = found['_id'] as ObjectId;
  // Whatever was between it and its answer: it is its own as long as its name is there.
  const seedId = _id.toHexString();
  const blobId = (found['blobId'] as ObjectId).toHexString();
  world.foreign.add(seedId);
  Object.assign(me, { seedId, token: world.blobs.get(blobId)?.token ?? null, until: now + TTL_MS });
}

/** Refreshes its token and stores it, as long as its time is not over. */
export async function foreignSave(world: World, me: Foreigner): Promise<void> {
  const { seedId, token } = me;
  if (seedId === null || token === null) return;
  const next = refresh(world, token);
  // What is on its own disk alone is none of ours.
  const isStill = (seed: Document) => {
    const isHeld = (seed['lease'] as { holder?: string } | null)?.holder === me.holder;
    if (!isHeld || world.clock.now >= me.until) return false;
    world.parents.set(next, token);
    me.token = next;
    return true;
  };
  await overwrite(world, me, seedId, next, isStill);
}

/** A session by seed id, which holds no lease, puts what it started with over what a task of ours has stored. */
export async function foreignOverwrite(world: World, me: Foreigner): Promise<void> {
  const writer = world.writers[world.random(world.writers.length)]!;
  const { lease, disk } = writer;
  if (!lease || disk === null) return;
  const old = world.parents.get(disk);
  // It started with what a seed had.
  if (old === undefined || !world.known.has(old)) return;
  // What it deletes is on the disk of the task, which saves once more before it gives the seed back.
  const isHarmless = (seed: Document) => {
    const current = world.blobs.get((seed['blobId'] as ObjectId).toHexString())?.token;
    const isHeld =
      (seed['lease'] as { holder?: string } | null)?.holder === lease.holder &&
      seed['leaseEpoch'] === writer.lease?.leaseEpoch;
    const onDisk = writer.disk;
    const mayNow =
      isHeld &&
      writer.act !== 'end' &&
      // A verification ends by itself, and may have looked its last.
      writer.act !== 'other' &&
      onDisk !== null &&
      current !== undefined &&
      comesFrom(world.parents, onDisk, current);
    // It is written in this very step: from here on the disk is not lost.
    if (mayNow) writer.isOverwritten = true;
    return mayNow;
  };
  await overwrite(world, me, lease.seedId, old, isHarmless);
}

async function overwrite(
  world: World,
  me: Foreigner,
  seedId: string,
  token: string,
  mayNow: (seed: Document) => boolean,
): Promise<void> {
  const { store, collection } = seeds(world, me);
  const _id = new ObjectId(seedId);
  const read = await collection.findOne({ _id });
  if (!read) return;
  const archive = await packSeed({ authJson: bytesOf(world, token) });
  // Encrypted with nothing, and of no writer of ours.
  const put = () => store.blobs.put(archive, { filename: 'seed', metadata: { name: 'seed', seedId } });
  const blobId = await store.write(put);
  const isDone = await store.write(async () => {
    const now = await seedsOf(world.store).findOne({ _id });
    if (!now || !mayNow(now)) return false;
    world.foreign.add(seedId);
    if (isUnread(now)) world.forked.add(accountOf(token));
    await seedsOf(world.store).updateOne({ _id }, { $set: { blobId: new ObjectId(blobId) } });
    return true;
  });
  const gone = isDone ? (read['blobId'] as ObjectId).toHexString() : blobId;
  await store.write(() => store.blobs.delete(gone));
}

/** Stores a login that is in a seed, or was, as a seed of its own. */
export async function foreignCapture(world: World, me: Foreigner): Promise<void> {
  const { store, collection } = seeds(world, me);
  const tokens = [...world.known];
  const token = tokens[world.random(tokens.length)];
  if (token === undefined) return;
  world.copied.add(token.split('.')[0]!);
  const _id = new ObjectId();
  const seedId = _id.toHexString();
  const archive = await packSeed({ authJson: bytesOf(world, token) });
  const blobId = await store.write(() =>
    store.blobs.put(archive, { filename: 'seed', metadata: { name: 'seed', seedId } }),
  );
  world.foreign.add(seedId);
  const createdAt = new Date(world.clock.now);
  await collection.insertOne({
    _id,
    createdAt,
    blobId: new ObjectId(blobId),
    manifestVersion: 1,
    poolKey: POOL,
  });
}

export async function foreignRelease(world: World, me: Foreigner): Promise<void> {
  const { seedId, holder } = me;
  Object.assign(me, { seedId: null, token: null, until: 0 });
  if (seedId === null) return;
  const { collection } = seeds(world, me);
  await collection.updateOne(
    { _id: new ObjectId(seedId), 'lease.holder': holder },
    { $set: { lease: null } },
  );
}

/** Clears each lease that ran out, whoever has it. */
export async function foreignReap(world: World, me: Foreigner): Promise<void> {
  const { collection } = seeds(world, me);
  await collection.updateMany(
    { lease: { $ne: null }, 'lease.expiresAt': { $not: { $gt: new Date(world.clock.now) } } },
    { $set: { lease: null } },
  );
}
