import { seedsOf, type SeedDocument } from '../../../src/store/collections.js';
import { insertSeed } from '../../../src/store/seeds.js';
import type { Backend } from './backends.js';
import * as foreign from './foreigner.js';
import { keep, tidy } from './keeper.js';
import { checkLogins, sameAccount, type Use } from './credential-rules.js';
import { watchSteps } from './rules.js';
import { Actor, randomFrom } from './scheduler.js';
import { checkTokens } from './tokens.js';
import {
  accountOf,
  bytesOf,
  DAY_MS,
  epochOf,
  isTorn,
  POOL,
  TTL_MS,
  type Act,
  type ModelClock,
  type World,
  type Writer,
} from './world.js';
import * as work from './writer.js';

export type { ModelClock } from './world.js';

/**
 * One random run: three workers, a client without epochs and two keepers on two seeds. Every database operation is a
 * step of its own, and may be the last of its process, heard of or not; the primary changes now and then, which takes
 * back what a majority did not have. Each step is held against the rules.
 * @throws Error when a rule is broken, two codexes could use one account at once, or a token is nowhere at the end
 */
export async function runModel(
  seed: number,
  acts: number,
  backend: Backend,
  clock: ModelClock,
): Promise<void> {
  const { world, lookAgain } = await openWorld(seed, backend, clock);
  const { random, writers, keepers, foreigner } = world;
  const failovers = randomFrom(seed + 1_000_003);
  const actors = () => [
    ...writers.flatMap(({ actor, twin }) => (twin.busy ? [actor, twin] : [actor])),
    ...keepers.map(({ actor }) => actor),
    foreigner.actor,
  ];
  for (let left = acts; left > 0;) {
    const idle = actors().filter(({ busy }) => !busy);
    const busy = actors().filter((actor) => actor.busy);
    if (failovers(30) === 0 && backend.failOver?.(1 + failovers(3))) lookAgain();
    const pick = random(20);
    if (pick === 0)
      clock.now += random(10) === 0 ? 2 * DAY_MS : random(2) === 0 ? random(5_000) : random(2 * TTL_MS);
    else if (pick === 1) await crash(world, actors()[random(actors().length)]!);
    else if (busy.length === 0 || (pick < 7 && idle.length > 0)) {
      left -= 1;
      begin(world, idle[random(idle.length)]!);
      for (const actor of actors()) await actor.settle();
    } else await busy[random(busy.length)]!.go();
    await check(world);
  }
  // Everybody comes back and ends.
  for (const actor of actors()) while (actor.busy) await actor.go();
  for (const writer of writers) {
    started(writer, 'end', () => work.release(world, writer));
    await writer.actor.settle();
    while (writer.actor.busy) await writer.actor.go();
  }
  clock.now += 2 * DAY_MS;
  await tidy(world);
  await checkTokens(world);
}

async function openWorld(
  seed: number,
  backend: Backend,
  clock: ModelClock,
): Promise<{ world: World; lookAgain: () => void }> {
  const random = randomFrom(seed);
  const writers = Array.from({ length: 3 }, (_, index): Writer => ({
    actor: new Actor(`writer ${index}`),
    twin: new Actor(`writer ${index}, earlier`),
    holder: `task-${index}/run`,
    clockAheadMs: (random(3) - 1) * 3_600_000,
    isKeyless: index === 2 && random(3) === 0,
    act: 'other',
    attempts: 0,
    step: null,
    crashed: false,
    lease: null,
    disk: null,
    saved: null,
    fence: 0,
    isOverwritten: false,
    torn: null,
    twinTook: null,
    strays: new Set(),
    unfit: new Map(),
    free: new Set(),
    twinFree: new Set(),
  }));
  const world: World = {
    backend,
    store: backend.store,
    clock,
    random,
    writers,
    keepers: [0, 1].map((index) => ({ actor: new Actor(`keeper ${index}`), deed: '', isForced: false })),
    foreigner: { actor: new Actor('foreigner'), holder: 'python', seedId: null, token: null, until: 0 },
    parents: new Map(),
    aheadMs: new Map(),
    blobs: new Map(),
    foreignDeleted: new Set(),
    late: new Map(),
    known: new Set(),
    orphaned: new Set(),
    cut: new Set(),
    droppedAt: new Map(),
    foreign: new Set(),
    copied: new Set(),
    forked: new Set(),
    exports: [],
    tokens: 0,
  };
  const lookAgain = watchSteps(world);
  const first = new Actor('first');
  first.begin(async () => {
    for (let index = 0; index < 2; index++)
      await insertSeed(backend.storeOf(first, null), { authJson: bytesOf(world, `${index}.0`), pool: POOL });
  });
  await first.settle();
  while (first.busy) await first.go();
  return { world, lookAgain };
}

function begin(world: World, actor: Actor): void {
  const { random, foreigner } = world;
  const writer = world.writers.find((each) => each.actor === actor);
  if (writer) return beginWork(world, writer);
  const keeper = world.keepers.find((each) => each.actor === actor);
  if (keeper) return actor.begin(() => keep(world, keeper));
  const choice = random(6);
  if (choice === 0) return actor.begin(() => foreign.foreignReap(world, foreigner));
  if (choice === 1) return actor.begin(() => foreign.foreignOverwrite(world, foreigner));
  if (choice === 2 && random(3) === 0) return actor.begin(() => foreign.foreignCapture(world, foreigner));
  if (foreigner.seedId === null) return actor.begin(() => foreign.foreignAcquire(world, foreigner));
  actor.begin(() =>
    choice < 5 ? foreign.foreignSave(world, foreigner) : foreign.foreignRelease(world, foreigner),
  );
}

function beginWork(world: World, writer: Writer): void {
  const { random } = world;
  const act = (kind: Act, run: (world: World, writer: Writer) => Promise<void>) =>
    started(writer, kind, () => run(world, writer));
  if (writer.crashed) {
    // Codex outlives its worker until the fence, and may go on refreshing.
    const choice = random(5);
    if (choice < 2) return work.rotate(world, writer);
    writer.crashed = false;
    // Its disk is gone for good, and with it what was in no blob yet.
    if (choice === 2 && !writer.isOverwritten && random(3) === 0) return act('other', loseDisk);
    return choice < 4 ? act('end', work.release) : act('retake', work.comeBack);
  }
  if (!writer.lease) {
    if (random(6) === 0) return act('other', work.verify);
    return act('acquire', (given, each) => work.acquire(given, each));
  }
  const choice = random(9);
  if (choice < 3) return act('save', work.rotateAndSave);
  if (choice < 5) return act('save', work.renew);
  if (choice < 7) return act('end', work.release);
  act('save', choice === 7 ? work.mark : work.assign);
}

function started(writer: Writer, kind: Act, run: () => Promise<void>): void {
  writer.act = kind;
  if (process.env['MODEL_TRACE']) console.log(`${writer.actor.name} begins: ${kind}, disk ${writer.disk}`);
  writer.actor.begin(run);
}

async function loseDisk({ store, blobs, parents, orphaned }: World, writer: Writer): Promise<void> {
  const files = await store.db.collection('fs.files').find({}).toArray();
  const stored = new Set(files.map(({ _id }) => blobs.get(_id.toHexString())?.token));
  let { disk } = writer;
  while (disk !== null && !stored.has(disk)) {
    const before: string | undefined = parents.get(disk);
    if (before === undefined) break;
    parents.delete(disk);
    disk = before;
  }
  if (disk !== null) orphaned.add(disk);
  work.forget(writer);
}

async function crash(world: World, actor: Actor): Promise<void> {
  const { random, writers, foreigner } = world;
  const writer = writers.find((each) => each.actor === actor);
  await actor.crash(random(2) === 0);
  if (writer) writer.crashed = true;
  // What it took runs out, or its task takes it over with the next attempt.
  const heir = writers.find((each) => each.twin === actor);
  if (heir?.twinTook != null) heir.strays.add(heir.twinTook);
  if (actor === foreigner.actor) Object.assign(foreigner, { seedId: null, token: null, until: 0 });
}

async function usesOf({ store }: World, writers: readonly Writer[]): Promise<Use[]> {
  const seeds = await seedsOf(store).find().toArray();
  return writers.flatMap(({ disk, lease }) => {
    const seed = seeds.find(({ _id }) => _id.toHexString() === lease?.seedId);
    return disk === null ? [] : [{ account: accountOf(disk), seed }];
  });
}

/** What holds between any two steps. */
async function check(world: World): Promise<void> {
  const { writers, clock, foreigner } = world;
  const using = writers.filter(({ lease, fence }) => lease && clock.now < fence);
  // Whoever deletes the seed of a task by force is told to add its login again only once that task has stopped.
  const told = using.filter((each) => !isTorn(each));
  const twice = told.length > 1 && sameAccount(world, await usesOf(world, told));
  if (twice)
    throw new Error(`two writers of the account ${twice}: ${told.map(({ holder }) => holder).join(', ')}`);
  const other = clock.now < foreigner.until && using.find(({ lease }) => lease?.seedId === foreigner.seedId);
  if (other) throw new Error(`two writers of one seed: python and ${other.holder}`);
  await checkLogins(world);
  if (writers.every(({ actor, twin }) => actor.busy || twin.busy)) return;
  const seeds = await seedsOf(world.store).find().toArray();
  for (const { actor, twin, holder, lease, crashed, strays, twinTook, step, act } of writers) {
    if (actor.busy || twin.busy || crashed || !lease || act === 'retake') continue;
    const held = seeds.filter((each) => each.lease?.holder === holder);
    const own = held.find(({ _id }) => _id.toHexString() === lease.seedId);
    // What an attempt of another step took is kept until its end, and what an earlier one took while nothing told of
    // the later one any more, since others have its seed by now.
    const isTwins = (each: SeedDocument) =>
      epochOf(each) === twinTook && (!own || (each === own && (each.leaseEpoch ?? 0) > lease.leaseEpoch + 1));
    const isOfAnother = (each: SeedDocument) =>
      isTwins(each) || (each !== own && each.leaseRequest?.step !== step);
    const stray = held.find(
      (each) =>
        !strays.has(epochOf(each)) &&
        !isOfAnother(each) &&
        (each !== own || each.leaseEpoch !== lease.leaseEpoch),
    );
    if (stray) throw new Error(`${holder} holds a seed of which nobody knows`);
  }
}
