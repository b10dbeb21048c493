import type { Collection } from 'mongodb';
import { requireKnown, versioned } from '../formats.js';
import { hostsOf } from './collections.js';
import type { Holding } from './holders.js';
import { isDuplicateKey, type Store } from './mongo.js';

/** Which host has a task, in which stay: there only may codex run for it. */
export interface Stay extends Holding {
  hostId: string;
  /** How many hosts codex ran on before. */
  ordinal: number;
}

interface StayDocument extends Omit<Stay, 'taskId'> {
  /** The task's id, so that a task has one stay at a time, whichever run it is of. */
  _id: string;
  version?: number;
}

const staysOf = (store: Store): Collection<StayDocument> =>
  store.db.collection(`${store.prefix}_codex_stays`);

/**
 * Notes a stay on a host before anything of it is there, unless the task has another one; returns the one that it has.
 * Repeatable.
 */
export async function beginStay(
  store: Store,
  { taskId: _id, runId, stayId, hostId, ordinal }: Stay,
): Promise<Stay> {
  for (;;) {
    try {
      await staysOf(store).insertOne(versioned('stay', { _id, runId, stayId, hostId, ordinal }));
      return { taskId: _id, runId, stayId, hostId, ordinal };
    } catch (error) {
      if (!isDuplicateKey(error)) throw error;
    }
    const found = await findStay(store, _id);
    if (found) return found;
  }
}

/** The stay that a task has now. @throws NewerFormat */
export async function findStay(store: Store, taskId: string): Promise<Stay | null> {
  const found = await staysOf(store).findOne({ _id: taskId });
  return found && describe(found);
}

function describe({ _id: taskId, runId, stayId, hostId, ordinal, version }: StayDocument): Stay {
  requireKnown('stay', version, `The record of the stay of task ${taskId}`);
  return { taskId, runId, stayId, hostId, ordinal };
}

/**
 * Ends a stay: nothing of it is on that host any more, or the host is kept from it. Nothing happens to another one.
 * Repeatable.
 */
export async function endStay(
  store: Store,
  { taskId, stayId }: Pick<Stay, 'taskId' | 'stayId'>,
  hostId: string,
): Promise<void> {
  await staysOf(store).deleteOne({ _id: taskId, stayId, hostId });
}

/** Every stay that is noted for a host. */
export async function staysOn(store: Store, hostId: string): Promise<Stay[]> {
  return (await staysOf(store).find({ hostId }).toArray()).map(describe);
}

/**
 * Ends every stay on a host that has no document: such a host is kept from all that it had, should it return.
 * @returns how many
 */
export async function endStaysOfRemovedHosts(store: Store): Promise<number> {
  // The hosts are looked for after the stays, and each registers before it begins one: one that is missing was removed.
  const noted = await staysOf(store).distinct('hostId');
  const known = new Set(await hostsOf(store).distinct('_id', { _id: { $in: noted } }));
  let ended = 0;
  for (const hostId of noted.filter((id) => !known.has(id)))
    for (const stay of await staysOn(store, hostId)) {
      await endStay(store, stay, hostId);
      ended++;
    }
  return ended;
}
