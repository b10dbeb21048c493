import { elapse } from '../../support/elapse.js';
import { TaskError } from '../../../src/errors.js';
import { quarantineOf, seedsOf } from '../../../src/store/collections.js';
import { readBase } from '../../../src/store/current-seed.js';
import type { Store } from '../../../src/store/mongo.js';
import { readQuarantined } from '../../../src/store/quarantine.js';
import { issued } from '../support.js';
import type { Backend } from './backends.js';

/** Every token that codex ever got is in the database, or one that replaced it. */
export async function checkTokens({ store }: Backend, parents: ReadonlyMap<string, string>): Promise<void> {
  const found = new Set<string>();
  for (const { _id, blobId, previousBlobs = [] } of await seedsOf(store).find().toArray())
    for (const id of [blobId, ...previousBlobs]) {
      const base = await readBase(store, _id, id);
      if (base.kind !== 'read') throw new Error(`a seed names a blob that is ${base.kind}: ${base.reason}`);
      found.add(tokenOf(base.members.authJson));
    }
  for (const { _id } of await quarantineOf(store).find().toArray())
    found.add(tokenOf(await readQuarantined(store, _id.toHexString())));
  const kept = new Set<string>();
  for (const token of found)
    for (let at: string | undefined = token; at !== undefined; at = parents.get(at)) kept.add(at);
  const lost = [...parents.keys()].filter((token) => !kept.has(token));
  if (lost.length > 0) throw new Error(`lost: ${lost.join(', ')}`);
  await elapse(0);
}

/** Tokens are given out in the order of their numbers. */
export const authOf = (token: string): Buffer => issued(token, 1 + Number(token.split('.')[1]));

/** Whether one token is what another became. */
export function comesFrom(parents: ReadonlyMap<string, string>, token: string, from: string): boolean {
  for (let at: string | undefined = token; at !== undefined; at = parents.get(at))
    if (at === from) return true;
  return false;
}

/** What is in quarantine and may still be newer than what its seed has. */
export async function quarantined(store: Store): Promise<string[]> {
  const records = await quarantineOf(store).find().toArray();
  const open = records.filter(({ settled }) => !settled);
  const read = open.map(async ({ _id }) => readQuarantined(store, _id.toHexString()).catch(() => null));
  return (await Promise.all(read)).flatMap((authJson) => (authJson ? [tokenOf(authJson)] : []));
}

/** A seed that came to be held between two looks. */
export function onlyHeld(error: unknown): void {
  if (!(error instanceof TaskError) || error.code !== 'BadInput') throw error;
}

/** Something that is to be tried again. */
export function onlyUnavailable(error: unknown): void {
  if (!(error instanceof TaskError) || error.code !== 'Unavailable') throw error;
}

export function tokenOf(authJson: Buffer | null | undefined): string {
  if (!authJson) throw new Error('a seed without auth.json');
  return (JSON.parse(authJson.toString()) as { tokens: { refresh_token: string } }).tokens.refresh_token;
}
