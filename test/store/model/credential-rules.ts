import { seedsOf, type SeedDocument } from '../../../src/store/collections.js';
import { isUnread } from '../../../src/store/logins.js';
import type { Look } from './rules.js';
import { accountOf, comesFrom, type Keeper, type World } from './world.js';

// Which credential takes the place of which, and where none may: by what the tokens are, whoever writes them.

const fail = (why: string): never => {
  throw new Error(why);
};

const numberOf = (token: string): number => Number(token.split('.')[1]);

const tokenOf = ({ blobs }: World, seed: SeedDocument | undefined): string | undefined =>
  seed && blobs.get(seed.blobId.toHexString())?.token;

/** What is kept aside does not count any more only when the seed has it, or what came after; or when a person says so. */
export function judgeClosed(world: World, keeper: Keeper | undefined, before: Look, after: Look): void {
  if (keeper?.deed === 'restores') return;
  for (const [id, record] of after.records) {
    if (!record.settled || before.records.get(id)?.settled !== false) continue;
    const kept = world.blobs.get(record.blobId.toHexString())?.token;
    const held = tokenOf(world, after.seeds.get(record.seedId));
    if (kept !== undefined && held !== undefined && kept !== held && comesFrom(world.parents, kept, held))
      fail(`a record with ${kept} was closed, though the seed has ${held}`);
  }
}

/** No collection takes the only copy of what its seed has nothing after. */
export function judgeCollected(world: World, keeper: Keeper | undefined, before: Look, after: Look): void {
  if (keeper?.deed !== 'collects') return;
  for (const id of before.files.keys()) {
    const gone = world.blobs.get(id);
    if (after.files.has(id) || !gone || world.droppedAt.has(id)) continue;
    const held = tokenOf(world, after.seeds.get(gone.seedId));
    if (held === undefined || numberOf(held) >= numberOf(gone.token) || !isStored(after, gone.seedId))
      continue;
    const isElsewhere = [...after.files.keys()].some((each) => world.blobs.get(each)?.token === gone.token);
    if (!isElsewhere) fail(`${keeper.actor.name} collected ${gone.token}, of which there is no other copy`);
  }
}

const isStored = ({ seeds, files }: Look, seedId: string): boolean => {
  const seed = seeds.get(seedId);
  return seed !== undefined && files.has(seed.blobId.toHexString());
};

/** Nobody at the command line puts a credential over a later one of the same account without being told to. */
export function judgeOlder(
  world: World,
  { actor, isForced }: Keeper,
  was: SeedDocument,
  is: SeedDocument | undefined,
  { files }: Look,
): void {
  const [old, next] = [tokenOf(world, was), tokenOf(world, is)];
  if (isForced || old === undefined || next === undefined || !files.has(was.blobId.toHexString())) return;
  if (accountOf(old) === accountOf(next) && numberOf(next) < numberOf(old))
    fail(`${actor.name} put ${next} over ${old}`);
}

/** Whoever holds a seed keeps nothing aside of which the seed has nothing later. */
export function judgeKeptAside(world: World, id: string, before: Look, after: Look): void {
  const record = after.records.get(id);
  const seed = record && before.seeds.get(record.seedId);
  if (!record || !seed || !record.reason.startsWith('the seed already has a later refresh')) return;
  const kept = world.blobs.get(record.blobId.toHexString())?.token;
  const held = tokenOf(world, seed);
  const isHeld = seed.lease?.holder === record.holder && seed.leaseEpoch === record.leaseEpoch;
  if (isHeld && kept !== undefined && held !== undefined && numberOf(held) < numberOf(kept))
    fail(`${kept} was kept aside though its seed has ${held}`);
}

/** No two seeds that may be leased have one account, as far as anybody has looked into them. */
export async function checkLogins(world: World): Promise<void> {
  const seeds = await seedsOf(world.store).find().toArray();
  const usable = seeds.filter((seed) => !seed.hold && seed.status !== 'dead' && !isUnread(seed));
  const uses = usable.flatMap((seed) => {
    const token = tokenOf(world, seed);
    return token === undefined ? [] : [{ account: accountOf(token), seed }];
  });
  const twice = sameAccount(world, uses);
  if (twice !== undefined) fail(`two seeds of the account ${twice} may be leased`);
}

/** An account, and the seed that it is used from; undefined: that is gone. */
export interface Use {
  account: string;
  seed: SeedDocument | undefined;
}

/** The account of two of these, as far as the database can tell. */
export function sameAccount({ forked, cut }: World, uses: readonly Use[]): string | undefined {
  const told = uses.filter(({ account }) => !forked.has(account));
  const isKnown = (one: Use, other: Use) => !cut.has(one.account) || areLinked(one.seed, other.seed);
  return told.find((one, at) =>
    told.slice(at + 1).some((other) => other.account === one.account && isKnown(one, other)),
  )?.account;
}

/** Whether the documents of two seeds name a login that both have or had. */
function areLinked(one: SeedDocument | undefined, other: SeedDocument | undefined): boolean {
  const logins = (seed: SeedDocument | undefined) => [seed?.login ?? [], seed?.earlierLogins ?? []].flat();
  const known = new Set(logins(one));
  return logins(other).some((each) => known.has(each));
}
