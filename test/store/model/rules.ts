import { ObjectId } from 'mongodb';
import {
  quarantineOf,
  seedsOf,
  type QuarantineDocument,
  type SeedDocument,
} from '../../../src/store/collections.js';
import { readSecret } from '../../../src/store/secret-blobs.js';
import { unpackSeed } from '../../../src/store/seed-archive.js';
import { isSettling } from '../../../src/store/settle-quarantine.js';
import { judgeClosed, judgeCollected, judgeKeptAside, judgeOlder } from './credential-rules.js';
import type { Actor } from './scheduler.js';
import { tokenOf } from './tokens.js';
import { accountOf, DAY_MS, epochOf, type Keeper, type Writer, type World } from './world.js';

/** What the database has, as the rules look at it. */
export interface Look {
  seeds: Map<string, SeedDocument>;
  records: Map<string, QuarantineDocument>;
  files: Map<string, FileNote>;
}

interface FileNote {
  name?: string;
  seedId?: string;
  collectedAt?: Date;
  droppedAt?: Date;
}

async function look({ store }: World): Promise<Look> {
  const byId = <T extends { _id: ObjectId }>(all: T[]) =>
    new Map(all.map((each) => [each._id.toHexString(), each] as const));
  const files = await store.db.collection('fs.files').find({}).toArray();
  return {
    seeds: byId(await seedsOf(store).find({}).toArray()),
    records: byId(await quarantineOf(store).find({}).toArray()),
    files: new Map(files.map(({ _id, metadata }) => [_id.toHexString(), (metadata ?? {}) as FileNote])),
  };
}

/**
 * Looks at each step that may have changed something, and throws when a rule is broken. What it gives is to be called
 * after something else has changed the database.
 */
export function watchSteps(world: World): () => void {
  let last: Look | null = null;
  world.backend.watch(async (actor, step) => {
    const before = last ?? (await look(world));
    try {
      return await step();
    } finally {
      const after = await look(world);
      last = after;
      await noteBlobs(world, before, after);
      if (process.env['MODEL_TRACE']) trace(world, actor, before, after);
      judge(world, actor, before, after);
    }
  });
  return () => void (last = null);
}

async function noteBlobs(world: World, before: Look, after: Look): Promise<void> {
  for (const [id, { name, seedId }] of after.files) {
    if (before.files.has(id) || world.blobs.has(id) || seedId === undefined) continue;
    const kind = name === 'quarantine' ? 'quarantine' : 'seed';
    const { bytes } = await readSecret(world.store, { kind, seedId }, new ObjectId(id));
    const authJson = kind === 'seed' ? (await unpackSeed(bytes)).authJson : bytes;
    world.blobs.set(id, { token: tokenOf(authJson), kind, seedId });
  }
}

function judge(world: World, actor: Actor, before: Look, after: Look): void {
  const writer = world.writers.find((each) => each.actor === actor || each.twin === actor);
  const keeper = world.keepers.find((each) => each.actor === actor);
  for (const id of new Set([...before.seeds.keys(), ...after.seeds.keys()])) {
    const [was, is] = [before.seeds.get(id), after.seeds.get(id)];
    const changed = changesOf(was, is);
    if (changed.length === 0) continue;
    if (!was && is) noteLate(world, actor, is.blobId, after);
    const token = is && world.blobs.get(is.blobId.toHexString())?.token;
    if (token !== undefined && is?.loginBlob?.equals(is.blobId)) world.known.add(token);
    if (writer && was) judgeWriter(world, writer, actor, was, is, changed);
    if (keeper && was) judgeKeeper(world, keeper, was, is);
    if (keeper?.isForced && was?.lease && !is) noteTorn(world, was);
    if (keeper && was) judgeOlder(world, keeper, was, is, before);
    if (is && was?.poolKey !== undefined && writer && is.poolKey !== was.poolKey)
      fail(`${actor.name} moved a seed to the pool ${is.poolKey}`);
    if (!is && was) noteDeleted(world, actor, was, before);
    for (const { free, twinFree } of world.writers) for (const each of [free, twinFree]) each.delete(id);
  }
  for (const [id, record] of after.records) {
    if (before.records.has(id)) continue;
    if (writer) judgeRecord(world, record, before);
    judgeKeptAside(world, id, before, after);
    noteLate(world, actor, record.blobId, after);
  }
  judgeClosed(world, keeper, before, after);
  judgeCollected(world, keeper, before, after);
  for (const id of before.files.keys()) {
    if (after.files.has(id)) continue;
    if (actor === world.foreigner.actor) world.foreignDeleted.add(id);
    const at = world.droppedAt.get(id);
    if (at !== undefined && world.clock.now < at + DAY_MS)
      fail(`${actor.name} deleted a blob of a seed that was deleted less than a day ago`);
  }
}

const fail = (why: string): never => {
  throw new Error(why);
};

/** What tells which login is in a blob; true whoever writes it. */
const NOTES = new Set(['login', 'loginBlob', 'earlierLogins', 'authRefreshedAt']);

function changesOf(was: SeedDocument | undefined, is: SeedDocument | undefined): string[] {
  if (!was || !is) return was === is ? [] : ['_id'];
  const keys = new Set([...Object.keys(was), ...Object.keys(is)]) as Set<keyof SeedDocument>;
  return [...keys].filter((key) => JSON.stringify(was[key]) !== JSON.stringify(is[key]));
}

/** A worker changes a seed that it holds, or takes, or held last; and takes none that it may not have. */
function judgeWriter(
  world: World,
  writer: Writer,
  actor: Actor,
  was: SeedDocument,
  is: SeedDocument | undefined,
  changed: readonly string[],
): void {
  if (!is) return fail(`${actor.name} removed a seed`);
  if (changed.every((key) => NOTES.has(key))) return;
  const now = world.clock.now;
  const isOwn = (holder: string | undefined) =>
    holder !== undefined && (holder.startsWith(writer.holder) || isSettling(holder));
  const isOver = !was.lease || was.lease.expiresAt.getTime() <= now;
  const took = isOwn(is.lease?.holder) && is.leaseEpoch === (was.leaseEpoch ?? 0) + 1;
  if (took) writer.torn = null;
  const { lease } = writer;
  const isLate = !was.lease && lease?.seedId === was._id.toHexString() && was.leaseEpoch === lease.leaseEpoch;
  if (!isOwn(was.lease?.holder) && !(took && isOver) && !isLate)
    fail(`${actor.name} wrote ${changed.join()} of a seed of ${was.lease?.holder ?? 'nobody'}`);
  const isAtWork =
    actor === writer.actor && (writer.act === 'save' || writer.act === 'end' || writer.act === 'other');
  if (isAtWork && lease && was.lease?.holder === lease.holder && was.leaseEpoch !== lease.leaseEpoch)
    fail(`${actor.name} wrote ${changed.join()} under epoch ${lease.leaseEpoch} of ${was.leaseEpoch}`);
  if (took && writer.act === 'acquire' && is.lease?.holder === writer.holder)
    judgeTaking(world, writer, actor, was);
  if (took && actor === writer.twin) writer.twinTook = epochOf(is);
  if (took && was.hold && is.lease?.holder.endsWith('/verify'))
    fail(`${actor.name} verifies a seed that is out of use`);
  if (!was.lease && was.hold && is.lease && !isSettling(is.lease.holder))
    fail(`${actor.name} took a seed that is out of use`);
}

function judgeTaking(world: World, writer: Writer, actor: Actor, was: SeedDocument): void {
  const now = world.clock.now;
  const limited = was.metadata?.['limitedUntil'];
  if (limited instanceof Date && limited.getTime() > now) fail(`${writer.holder} took a seed at its limit`);
  if (was.status === 'dead' || was.hold) fail(`${writer.holder} took a seed that is out of use`);
  const isForeignLease = was.lease && was.lease.holder !== writer.holder;
  const free = actor === writer.twin ? writer.twinFree : writer.free;
  if (isForeignLease && free.size > 0)
    fail(`${writer.holder} took the lease of ${was.lease?.holder} that ran out, though a seed was free`);
}

/** Nobody at the command line takes a seed from its holder, unless told to. */
function judgeKeeper(
  world: World,
  { actor, isForced }: Keeper,
  was: SeedDocument,
  is: SeedDocument | undefined,
): void {
  const { lease } = was;
  const isHeld = lease && lease.expiresAt.getTime() > world.clock.now && !isSettling(lease.holder);
  const isOut = !is || (is.hold?.kind === 'exported' && was.hold?.kind !== 'exported');
  if (isOut && lease && !isForced)
    fail(`${actor.name} took a seed out of use that ${lease.holder} has or had`);
  if (!is || !isHeld) return;
  if (is.lease?.holder !== lease.holder) fail(`${actor.name} ended the lease of ${lease.holder}`);
  const token = (seed: SeedDocument) => world.blobs.get(seed.blobId.toHexString())?.token;
  if (token(was) !== token(is)) fail(`${actor.name} changed the credential under ${lease.holder}`);
  if (was.status !== is.status && is.status === 'dead')
    fail(`${actor.name} took the seed of ${lease.holder}`);
}

/** What may still go into its seed is not only kept aside. */
function judgeRecord(world: World, record: QuarantineDocument, { seeds }: Look): void {
  const seed = seeds.get(record.seedId);
  if (!seed || world.foreign.has(record.seedId) || !record.reason.startsWith('the lease was released'))
    return;
  if (!seed.lease && seed.leaseEpoch === record.leaseEpoch)
    fail(`a save of ${record.holder} was refused though nobody has had the seed since`);
}

function noteTorn({ writers }: World, was: SeedDocument): void {
  const by = was.lease?.holder;
  const writer = writers.find(({ holder }) => by === holder || by === `${holder}/verify`);
  if (writer) writer.torn = epochOf(was);
}

/** Its blobs are noted before it goes: from then on they stay a day. */
function noteDeleted(
  world: World,
  actor: Actor,
  { blobId, previousBlobs = [], earlierLogins = [] }: SeedDocument,
  { files }: Look,
): void {
  const token = world.blobs.get(blobId.toHexString())?.token;
  if (token !== undefined && earlierLogins.length > 0) world.cut.add(accountOf(token));
  for (const id of [blobId, ...previousBlobs].map((each) => each.toHexString())) {
    const file = files.get(id);
    if (file && !file.droppedAt) fail(`${actor.name} deleted a seed before its blobs were noted`);
    world.droppedAt.set(id, file?.droppedAt?.getTime() ?? world.clock.now);
  }
}

/** Whoever stored it stores it once more, unless it dies right then. */
function noteLate(world: World, actor: Actor, blobId: ObjectId, { files }: Look): void {
  const id = blobId.toHexString();
  const file = files.get(id);
  if (!file || file.collectedAt) world.late.set(id, { actor, life: actor.life });
}

/** What a step did, for whoever repeats a run. */
function trace(world: World, actor: Actor, before: Look, after: Look): void {
  const said: string[] = [];
  for (const id of new Set([...before.seeds.keys(), ...after.seeds.keys()])) {
    const [was, is] = [before.seeds.get(id), after.seeds.get(id)];
    for (const key of changesOf(was, is))
      said.push(`${id.slice(-4)}.${key}=${JSON.stringify(is?.[key as keyof SeedDocument] ?? null)}`);
  }
  for (const [id, { reason }] of after.records) if (!before.records.has(id)) said.push(`aside: ${reason}`);
  for (const id of before.records.keys()) if (!after.records.has(id)) said.push('record gone');
  const token = (id: string) => `${id.slice(-4)} ${world.blobs.get(id)?.kind} ${world.blobs.get(id)?.token}`;
  for (const id of after.files.keys()) if (!before.files.has(id)) said.push(`+blob ${token(id)}`);
  for (const id of before.files.keys()) if (!after.files.has(id)) said.push(`-blob ${token(id)}`);
  console.log(`${world.clock.now} ${actor.name}: ${said.join('  ')}`);
}
