import { acquireSeed } from '../../../src/store/acquire-seed.js';
import {
  clearExpired,
  listExpired,
  releaseLease,
  renewLease,
  type Lease,
} from '../../../src/store/leases.js';
import { seedsOf } from '../../../src/store/collections.js';
import { markLeased, markSeed } from '../../../src/store/assign-seed.js';
import { listQuarantine } from '../../../src/store/quarantine.js';
import { restoreQuarantined } from '../../../src/store/restore.js';
import { settleSeed, unsettledSeeds } from '../../../src/store/settle-quarantine.js';
import { rekeyAll } from '../../../src/store/rekey.js';
import { insertSeed, readSeed, saveBack } from '../../../src/store/seeds.js';
import { KEYS, type Backend } from './backends.js';
import { Actor, randomFrom } from './scheduler.js';
import { authOf, checkTokens, comesFrom, onlyHeld, onlyUnavailable, quarantined, tokenOf } from './tokens.js';

const TTL_MS = 60_000;
const FENCE_MS = 10_000;
const POOL = { pool: 'pool' };

/**
 * A worker with one codex. `disk` is its auth.json, `saved` what it knows to be in the database, `lease` what its
 * task folder names. `fence` is when the guard ends codex, whatever became of the worker.
 */
interface Writer {
  actor: Actor;
  holder: string;
  crashed: boolean;
  lease: Lease | null;
  disk: string | null;
  saved: string | null;
  fence: number;
}

export interface ModelClock {
  now: number;
}

/**
 * One random run: three workers and a maintainer on two seeds, with marks, restorations and settlements beside the leases. Every database operation is a step of its own; a
 * crash may come before any of them, or after it and before its answer.
 * @throws Error when two codexes could use one seed at once, or a token is nowhere at the end
 */
export async function runModel(
  seed: number,
  acts: number,
  backend: Backend,
  clock: ModelClock,
): Promise<void> {
  const random = randomFrom(seed);
  const { store } = backend;
  const parents = new Map<string, string>();
  for (let index = 0; index < 2; index++)
    await insertSeed(store, { authJson: authOf(`${index}.0`), ...POOL });
  const writers = Array.from({ length: 3 }, (_, index): Writer => {
    const actor = new Actor(`writer ${index}`);
    const holder = `task-${index}/run`;
    return { actor, holder, crashed: false, lease: null, disk: null, saved: null, fence: 0 };
  });
  const maintainer = new Actor('maintainer');
  const actors = [...writers.map(({ actor }) => actor), maintainer];
  let tokens = 0;

  const rotate = (writer: Writer) => {
    if (writer.disk === null || clock.now >= writer.fence) return;
    const token = `${writer.disk.split('.')[0]}.${++tokens}`;
    parents.set(token, writer.disk);
    writer.disk = token;
  };

  const forget = (writer: Writer) =>
    Object.assign(writer, { lease: null, disk: null, saved: null, fence: 0 });

  async function save(writer: Writer): Promise<boolean> {
    const { lease, disk, saved, actor, holder } = writer;
    if (!lease || disk === null || disk === saved) return true;
    const mine = backend.storeOf(actor, KEYS.a);
    const result = await saveBack(mine, lease, authOf(disk), { taskId: holder });
    writer.saved = disk;
    return result.kind !== 'quarantined';
  }

  async function acquire(writer: Writer): Promise<void> {
    const mine = backend.storeOf(writer.actor, KEYS.a);
    const asked = clock.now;
    const aside = await quarantined(store);
    const result = await acquireSeed(mine, POOL, writer.holder, TTL_MS);
    if (result.kind !== 'leased') return;
    const read = await readSeed(mine, result.lease.seedId);
    const token = tokenOf(read?.authJson);
    const newer = aside.find((each) => each !== token && comesFrom(parents, each, token));
    if (newer) throw new Error(`leased with ${token}, though ${newer} was in quarantine`);
    Object.assign(writer, {
      lease: result.lease,
      disk: token,
      saved: token,
      fence: asked + TTL_MS - FENCE_MS,
    });
  }

  async function renew(writer: Writer): Promise<void> {
    const { lease } = writer;
    if (!lease) return;
    const asked = clock.now;
    if (await renewLease(backend.storeOf(writer.actor, KEYS.a), lease, TTL_MS)) {
      writer.fence = asked + TTL_MS - FENCE_MS;
      return;
    }
    writer.fence = 0;
    await save(writer);
    forget(writer);
  }

  async function release(writer: Writer): Promise<void> {
    const { lease } = writer;
    writer.fence = 0;
    await save(writer);
    if (lease) await releaseLease(backend.storeOf(writer.actor, KEYS.a), lease);
    forget(writer);
  }

  async function rotateAndSave(writer: Writer): Promise<void> {
    rotate(writer);
    if (await save(writer)) return;
    forget(writer);
  }

  /** Says that the account of its seed is refused, rightly or not. */
  async function mark({ lease, actor }: Writer): Promise<void> {
    if (lease) await markLeased(backend.storeOf(actor, KEYS.a), lease, 'dead');
  }

  async function maintain(): Promise<void> {
    const mine = backend.storeOf(maintainer, random(2) === 0 ? KEYS.a : null);
    const choice = random(5);
    if (choice === 0) {
      for (const lease of await listExpired(mine)) await clearExpired(mine, lease);
      return;
    }
    if (choice === 1) {
      const [record] = await listQuarantine(mine);
      // Who settles a seed may have died over it; then a person tries again.
      if (record) await restoreQuarantined(mine, record.quarantineId).catch(onlyUnavailable);
      return;
    }
    if (choice === 2) {
      for (const { _id, hold } of await seedsOf(mine).find().toArray())
        if (!hold) await markSeed(mine, _id.toHexString(), 'alive').catch(onlyHeld);
      return;
    }
    if (choice === 3) {
      for (const seedId of await unsettledSeeds(mine)) await settleSeed(mine, seedId);
      return;
    }
    const key = random(2) === 0 ? KEYS.a : KEYS.b;
    for await (const each of rekeyAll(backend.storeOf(maintainer, key)))
      if (each.outcome === 'failed') throw new Error(each.reason);
  }

  const begin = (writer: Writer) => {
    const { actor } = writer;
    if (writer.crashed) {
      // Codex outlives its worker until the fence, and may go on refreshing.
      if (random(2) === 0) return rotate(writer);
      writer.crashed = false;
      return actor.begin(() => release(writer));
    }
    if (!writer.lease) return actor.begin(() => acquire(writer));
    const choice = random(7);
    if (choice === 6) return actor.begin(() => mark(writer));
    if (choice < 3) return actor.begin(() => rotateAndSave(writer));
    return actor.begin(() => (choice < 5 ? renew(writer) : release(writer)));
  };

  const check = () => {
    const using = writers.filter(({ lease, fence }) => lease && clock.now < fence);
    const seeds = using.map(({ lease }) => lease?.seedId);
    if (new Set(seeds).size < seeds.length)
      throw new Error(`two writers of one seed: ${using.map(({ holder }) => holder).join(', ')}`);
  };

  for (let left = acts; left > 0;) {
    const idle = actors.filter(({ busy }) => !busy);
    const busy = actors.filter((actor) => actor.busy);
    const pick = random(20);
    if (pick === 0) clock.now += random(2) === 0 ? random(5_000) : random(2 * TTL_MS);
    else if (pick === 1) {
      const actor = actors[random(actors.length)]!;
      const writer = writers.find((each) => each.actor === actor);
      await actor.crash(random(2) === 0);
      if (writer) writer.crashed = true;
    } else if (busy.length === 0 || (pick < 7 && idle.length > 0)) {
      const actor = idle[random(idle.length)]!;
      const writer = writers.find((each) => each.actor === actor);
      left -= 1;
      if (writer) begin(writer);
      else actor.begin(maintain);
      await actor.settle();
    } else await busy[random(busy.length)]!.go();
    check();
  }

  // Everybody comes back and ends.
  for (const actor of actors) while (actor.busy) await actor.go();
  for (const writer of writers) {
    writer.actor.begin(() => release(writer));
    await writer.actor.settle();
    while (writer.actor.busy) await writer.actor.go();
  }
  await checkTokens(backend, parents);
}
