import type { ObjectId } from 'mongodb';
import { TaskError, type ErrorCode } from '../../../src/errors.js';
import { quarantineOf, seedsOf } from '../../../src/store/collections.js';
import { readBase } from '../../../src/store/current-seed.js';
import type { Store } from '../../../src/store/mongo.js';
import { readQuarantined } from '../../../src/store/quarantine.js';
import { accountOf, comesFrom, type World } from './world.js';

/** Every token that codex ever got is in the database, or one that replaced it; but for what was deleted on purpose. */
export async function checkTokens(world: World): Promise<void> {
  const { store, parents, blobs, droppedAt } = world;
  const seeds = await seedsOf(store).find().toArray();
  const found = new Set<string>();
  for (const seed of seeds) {
    const { blobId, previousBlobs = [] } = seed;
    for (const id of [blobId, ...previousBlobs]) {
      const base = await readBase(store, seed, id);
      if (base.kind === 'read') found.add(tokenOf(base.members.authJson));
      else if (!world.foreignDeleted.has(id.toHexString()) && !wasCutShort(world, id))
        throw new Error(`a seed names a blob that is ${base.kind}: ${base.reason}`);
    }
  }
  for (const { _id } of await quarantineOf(store).find().toArray())
    found.add(tokenOf(await readQuarantined(store, _id.toHexString())));
  const kept = new Set<string>();
  for (const token of found)
    for (let at: string | undefined = token; at !== undefined; at = parents.get(at)) kept.add(at);
  const places = [...blobs.entries()].map(([id, put]) => ({ ...put, isDropped: droppedAt.has(id) }));
  const isDropped = (token: string) =>
    places.some((each) => each.isDropped && comesFrom(parents, each.token, token));
  // What a seed had, or a blob that nothing names, is kept aside unless its seed has what was given out later.
  const isOutdone = (token: string) =>
    [...world.orphaned, ...world.known].some((each) => comesFrom(parents, each, token)) &&
    [...found].some((each) => accountOf(each) === accountOf(token) && numberOf(each) > numberOf(token));
  const lost = [...parents.keys()].filter(
    (token) => !kept.has(token) && !isDropped(token) && !isOutdone(token),
  );
  if (lost.length > 0) throw new Error(`lost: ${lost.join(', ')}`);
}

/** It was being collected when it was named, and whoever was to store it once more died right then. */
function wasCutShort({ late }: World, blobId: ObjectId): boolean {
  const noted = late.get(blobId.toHexString());
  return noted !== undefined && noted.actor.life !== noted.life;
}

const numberOf = (token: string): number => Number(token.split('.')[1]);

/** What is in quarantine and may still be newer than what its seed has. */
export async function quarantined(store: Store): Promise<{ seedId: string; token: string }[]> {
  const records = await quarantineOf(store).find().toArray();
  const read = records.map(async ({ _id, seedId, settled }) => {
    const authJson = settled ? null : await readQuarantined(store, _id.toHexString()).catch(() => null);
    return authJson ? [{ seedId, token: tokenOf(authJson) }] : [];
  });
  return (await Promise.all(read)).flat();
}

/** Takes an error of these codes for an answer. */
export const only =
  (...codes: ErrorCode[]) =>
  (error: unknown): void => {
    if (!(error instanceof TaskError) || !codes.includes(error.code)) throw error;
  };

export function tokenOf(authJson: Buffer | null | undefined): string {
  if (!authJson) throw new Error('a seed without auth.json');
  return (JSON.parse(authJson.toString()) as { tokens: { refresh_token: string } }).tokens.refresh_token;
}
