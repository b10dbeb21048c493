import { acquireSeed } from '../../../src/store/acquire-seed.js';
import { assignLeased, markLeased } from '../../../src/store/assign-seed.js';
import { seedsOf, type SeedDocument } from '../../../src/store/collections.js';
import { findSeed } from '../../../src/store/current-seed.js';
import { takeSeed } from '../../../src/store/fit-seed.js';
import { keptRequest } from '../../../src/store/lease-requests.js';
import { releaseLease, renewLease, type Lease } from '../../../src/store/leases.js';
import { releaseLimited } from '../../../src/store/limit-seed.js';
import { restoreCleared, retakeLease } from '../../../src/store/retake-lease.js';
import { fingerprint } from '../../../src/store/seed-archive.js';
import { leaseForVerification, recordFinding } from '../../../src/store/seed-verification.js';
import { saveBack } from '../../../src/store/seeds.js';
import { only, quarantined, tokenOf } from './tokens.js';
import {
  bytesOf,
  comesFrom,
  FENCE_MS,
  POOL,
  refresh,
  storeOf,
  TTL_MS,
  type Writer,
  type World,
} from './world.js';

const MINUTE_MS = 60_000;

export function forget(writer: Writer): void {
  Object.assign(writer, { lease: null, disk: null, saved: null, fence: 0, isOverwritten: false });
}

/** Codex refreshes its token, as long as its guard lets it live. */
export function rotate(world: World, writer: Writer): void {
  if (writer.disk !== null && world.clock.now < writer.fence) renewToken(world, writer, writer.disk);
}

function renewToken(world: World, writer: Writer, from: string): void {
  writer.disk = refresh(world, from, writer.clockAheadMs);
  world.parents.set(writer.disk, from);
}

/** `false`: kept in quarantine. The last save of a lease also looks whether the seed has it still. */
async function save(world: World, writer: Writer, isLast = false): Promise<boolean> {
  const { lease, disk, saved, holder } = writer;
  if (!lease || disk === null) return true;
  const confirms = disk === saved;
  if (confirms && !isLast) return true;
  const context = { taskId: holder, confirms };
  const result = await saveBack(storeOf(world, writer), lease, bytesOf(world, disk), context);
  writer.saved = disk;
  return result.kind !== 'quarantined';
}

export async function rotateAndSave(world: World, writer: Writer): Promise<void> {
  rotate(world, writer);
  if (!(await save(world, writer))) forget(writer);
}

/** One step of a task, of which an earlier attempt may still be at work. */
export async function acquire(world: World, writer: Writer): Promise<void> {
  const { holder } = writer;
  const { clock } = world;
  const seeds = await seedsOf(world.store).find().toArray();
  writer.free = new Set(seeds.filter((each) => isFree(each, clock.now)).map(({ _id }) => _id.toHexString()));
  const step = `${holder}/${writer.attempts}`;
  const request = () => ({ step, at: new Date(++writer.attempts) });
  if (!writer.twin.busy && world.random(4) === 0) {
    const earlier = request();
    writer.twinFree = new Set(writer.free);
    const store = storeOf(world, writer, writer.twin);
    writer.twin.begin(async () => {
      await acquireSeed(store, { pool: POOL }, holder, TTL_MS, earlier).catch(only('Unavailable'));
    });
  }
  const mine = storeOf(world, writer);
  // With one that cannot be used the task asks again at once.
  for (let count = 0; count < 3 && !writer.lease; count++) {
    const asked = clock.now;
    const aside = await quarantined(world.store);
    const result = await acquireSeed(mine, { pool: POOL }, holder, TTL_MS, request());
    if (result.kind !== 'leased') return;
    writer.step = keptRequest(holder, { step, at: new Date(0) }).step;
    await plant(world, writer, result.lease, asked, aside);
  }
}

function isFree({ lease, status, hold, poolKey, metadata = {} }: SeedDocument, now: number): boolean {
  const { limitedUntil, putAside } = metadata as { limitedUntil?: Date; putAside?: { until: Date } };
  const isLater = (at: Date | undefined) => at !== undefined && at.getTime() > now;
  const isUsable = status !== 'dead' && !hold && !isLater(limitedUntil) && !isLater(putAside?.until);
  return isUsable && !lease && poolKey === POOL;
}

/** Takes the files of a seed that was leased just now. */
async function plant(
  world: World,
  writer: Writer,
  lease: Lease,
  asked: number,
  aside: Awaited<ReturnType<typeof quarantined>> = [],
): Promise<void> {
  const { seedId } = lease;
  if ((writer.unfit.get(seedId) ?? 0) > world.clock.now)
    throw new Error(`${writer.holder} got the seed ${seedId} again, which it cannot read`);
  const taken = await takeSeed(storeOf(world, writer), lease);
  if ('unfit' in taken) {
    if (taken.unfit.includes('key')) writer.unfit.set(seedId, asked + MINUTE_MS / 2);
    return;
  }
  const token = tokenOf(taken.authJson);
  const newer = aside.find(
    (each) => each.seedId === seedId && each.token !== token && comesFrom(world.parents, each.token, token),
  );
  if (newer) throw new Error(`leased with ${token}, though ${newer.token} was in quarantine`);
  const fence = asked + TTL_MS - FENCE_MS;
  Object.assign(writer, { lease, disk: token, saved: token, fence, isOverwritten: false });
}

/** Checks an account, which refreshes its token, and says what came of it. */
export async function verify(world: World, writer: Writer): Promise<void> {
  const seeds = await seedsOf(world.store).find().toArray();
  const seed = seeds[world.random(seeds.length)];
  if (!seed) return;
  const mine = storeOf(world, writer);
  const asked = world.clock.now;
  const seedId = seed._id.toHexString();
  const holder = `${writer.holder}/verify`;
  const result = await leaseForVerification(mine, seedId, holder, TTL_MS);
  if (result.kind !== 'leased') return;
  const taken = await takeSeed(mine, result.lease);
  if ('unfit' in taken) return;
  const token = tokenOf(taken.authJson);
  const fence = asked + TTL_MS - FENCE_MS;
  Object.assign(writer, { lease: result.lease, disk: token, saved: token, fence });
  await rotateAndSave(world, writer);
  const account = { windows: [{ pct: 3 }] };
  const finding = { verdict: 'alive', reason: '', account, limitedUntil: null } as const;
  if (await recordFinding(mine, result.lease, finding)) {
    const found = await findSeed(world.store, seedId);
    const isOurs = found?.lease?.holder === holder && found.leaseEpoch === result.lease.leaseEpoch;
    if (isOurs && found.metadata?.['limitedUntil'] !== undefined)
      throw new Error('verified below its limits, and limited still');
  }
  await release(world, writer);
}

export async function renew(world: World, writer: Writer): Promise<void> {
  const { lease } = writer;
  if (!lease) return;
  const asked = world.clock.now;
  if (await renewLease(storeOf(world, writer), lease, TTL_MS)) {
    writer.fence = asked + TTL_MS - FENCE_MS;
    return;
  }
  await giveUp(world, writer);
}

/** Its lease is lost: whatever it has is kept, and its folder goes. */
async function giveUp(world: World, writer: Writer): Promise<void> {
  writer.fence = 0;
  await save(world, writer, true);
  forget(writer);
}

export async function release(world: World, writer: Writer): Promise<void> {
  const { lease } = writer;
  writer.fence = 0;
  await save(world, writer, true);
  const mine = storeOf(world, writer);
  // Out of quota, say.
  if (lease && world.random(6) === 0)
    await releaseLimited(mine, lease, new Date(world.clock.now + 10 * MINUTE_MS));
  else if (lease) await releaseLease(mine, lease);
  forget(writer);
}

/** After an outage: what it had is saved, and the seed taken again if nobody had it meanwhile. */
export async function comeBack(world: World, writer: Writer): Promise<void> {
  const { lease, saved } = writer;
  if (!lease) return;
  const mine = storeOf(world, writer);
  writer.fence = 0;
  await restoreCleared(mine, lease, saved === null ? null : fingerprint(bytesOf(world, saved)), TTL_MS);
  if (!(await save(world, writer))) return forget(writer);
  const asked = world.clock.now;
  const taken = await retakeLease(mine, lease, `host of ${writer.holder}`, TTL_MS);
  if (!taken) return giveUp(world, writer);
  // Whoever else works under the old epoch, on the same folder, is refused from now on.
  if (taken.leaseEpoch <= lease.leaseEpoch)
    throw new Error(`${writer.holder} took its seed again under its old epoch`);
  Object.assign(writer, { lease: taken, fence: asked + TTL_MS - FENCE_MS });
}

/** Says that the account of its seed is refused, rightly or not. */
export async function mark(world: World, writer: Writer): Promise<void> {
  if (writer.lease) await markLeased(storeOf(world, writer), writer.lease, 'dead');
}

/** Ends with a wish to keep its seed in a pool of its own. */
export async function assign(world: World, writer: Writer): Promise<void> {
  if (writer.lease) await assignLeased(storeOf(world, writer), writer.lease, { pool: 'own' });
}
