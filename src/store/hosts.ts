import { FORMATS } from '../formats.js';
import { hostsOf, type HostDocument } from './collections.js';
import { holderOf, parseHolder, type Holding } from './holders.js';
import { judgedBy } from './lease-clock.js';
import { databaseNow, isDuplicateKey, type Store } from './mongo.js';

/** A host as its worker knows itself. A newer start of the same host ends the epoch. */
export interface HostEpoch {
  hostId: string;
  epoch: number;
}

/** A host as others see it. */
export interface HostInfo extends HostEpoch {
  fleet?: string;
  listenerUrl: string;
  version: string;
  labels: Record<string, string>;
  expiresAt: Date;
  /** How long a lease lives there without renewal, milliseconds; absent: not known. */
  ttlMs?: number;
  /** Whether its right to run tasks still holds, by the database's clock. */
  alive: boolean;
  /** Milliseconds until that right ends, by the same clock; negative: since it ended. */
  endsInMs: number;
  /** Assignments that it was asked to evict and still has, as leases name them. */
  evict: string[];
  /** Ended tasks whose journals it was asked to drop and may still have. */
  forget: string[];
}

/** An assignment that a host has to evict. */
export interface Eviction {
  readonly ref: Holding;
  /** Another host may have continued it: the host must not save its own state of it. */
  readonly isOutdated: boolean;
}

/** What a host learns at each renewal. */
export interface Renewal {
  readonly evict: readonly Eviction[];
  /** Ended tasks whose journals it has to drop. */
  readonly forget: readonly string[];
}

/** What a host registers about itself. */
export interface HostEntry {
  hostId: string;
  listenerUrl: string;
  version: string;
  ttlMs: number;
  labels?: Record<string, string>;
}

/**
 * Registers a host for `ttlMs` and returns its epoch, one more than at its last start, and the tasks it has to evict,
 * which stay on the list.
 * @param here tasks that lie on this host: if it never registered, or was removed with its eviction list, none of them
 * is its own
 */
export async function registerHost(
  store: Store,
  host: HostEntry,
  here: readonly Holding[] = [],
): Promise<{ epoch: number; evict: readonly Eviction[] }> {
  for (;;) {
    const { hostId: _id, ...fields } = fieldsOf(store, host, await databaseNow(store));
    const entered = await hostsOf(store).findOneAndUpdate(
      { _id },
      { $set: fields, $inc: { epoch: 1 } },
      { returnDocument: 'after' },
    );
    if (entered) return { epoch: entered.epoch, evict: evictionsOf(entered) };
    const epoch = await newEpoch(store);
    if (await enterHost(store, host, epoch, here))
      return { epoch, evict: here.map((ref) => ({ ref, isOutdated: true })) };
  }
}

/** Uses the time in seconds as an epoch, so that no start reuses an epoch of a removed document. */
export const newEpoch = async (store: Store): Promise<number> =>
  Math.floor((await databaseNow(store)).getTime() / 1_000);

/**
 * Registers a host without a document. False: there is one, and nothing changed.
 * @param here as for `registerHost`
 */
export async function enterHost(
  store: Store,
  host: HostEntry,
  epoch: number,
  here: readonly Holding[],
): Promise<boolean> {
  const { hostId: _id, ...fields } = fieldsOf(store, host, await databaseNow(store));
  try {
    const evict = here.map(holderOf);
    await hostsOf(store).insertOne({ _id, ...fields, epoch, evict, outdated: [...evict] });
    return true;
  } catch (error) {
    if (isDuplicateKey(error)) return false;
    throw error;
  }
}

const evictionsOf = ({
  evict = [],
  outdated = [],
}: {
  evict?: readonly string[];
  outdated?: readonly string[];
}): Eviction[] =>
  evict.map((holder) => ({ ref: parseHolder(holder), isOutdated: outdated.includes(holder) }));

const fieldsOf = (
  { fleet }: Store,
  { hostId, listenerUrl, version, ttlMs, labels = {} }: HostEntry,
  now: Date,
) => ({
  ...(fleet !== undefined && { fleet }),
  hostId,
  expiresAt: new Date(now.getTime() + ttlMs),
  ttlMs,
  format: FORMATS.host.version,
  listenerUrl,
  version,
  labels,
});

/**
 * Moves the end of the host's right to `ttlMs` from now, also after it ran out, and returns the tasks it has to evict
 * and the ended ones it has to forget. Null: refused, another start of this host took over.
 */
export async function renewHost(store: Store, host: HostEpoch, ttlMs: number): Promise<Renewal | null> {
  const expiresAt = await fromNow(store, ttlMs);
  // One operation: a task asked for before this instant is in the answer, one asked for later sees the new end.
  const renewed = await hostsOf(store).findOneAndUpdate(
    { _id: host.hostId, epoch: host.epoch },
    { $set: { expiresAt } },
    { returnDocument: 'after' },
  );
  return renewed && { evict: evictionsOf(renewed), forget: renewed.forget ?? [] };
}

/** Ends the host's right now. Its document stays, so that its next epoch is a new one. False: refused. */
export async function leaveHost(store: Store, host: HostEpoch): Promise<boolean> {
  const { matchedCount } = await hostsOf(store).updateOne(
    { _id: host.hostId, epoch: host.epoch },
    { $set: { expiresAt: await fromNow(store, 0) } },
  );
  return matchedCount === 1;
}

/** Hosts whose right ended at least so long ago, by id, but for those that are to forget an ended task when they return. */
export async function listGoneHosts(store: Store, agoMs: number): Promise<HostInfo[]> {
  const endedBy = new Date((await databaseNow(store)).getTime() - agoMs);
  const hosts = await listHosts(store);
  // Whether running tasks of another Temporal namespace name one of its hosts nobody here can say.
  const isOurs = ({ fleet }: HostInfo) => fleet === undefined || fleet === store.fleet;
  return hosts.filter((each) => each.expiresAt <= endedBy && each.forget.length === 0 && isOurs(each));
}

/**
 * Removes the document of a dead host with its evictions: should it return, it is unknown, and no task is its own.
 * False: it has returned meanwhile. No running task may be this host's.
 */
export async function removeHost(
  store: Store,
  { hostId, epoch, expiresAt }: Pick<HostInfo, 'hostId' | 'epoch' | 'expiresAt'>,
): Promise<boolean> {
  const { deletedCount } = await hostsOf(store).deleteOne({ _id: hostId, epoch, expiresAt });
  return deletedCount === 1;
}

/** Asks a host to evict a task: its next renewal returns it. False: there is no such host. */
export async function requestEviction(store: Store, hostId: string, ref: Holding): Promise<boolean> {
  const { matchedCount } = await hostsOf(store).updateOne(
    { _id: hostId },
    { $addToSet: { evict: holderOf(ref) } },
  );
  return matchedCount === 1;
}

/**
 * Fences a host whose lease is over from an assignment: should it return, its first look shows that the task is no
 * longer its own. False: its right holds, and nothing changed.
 */
export async function fenceTask(store: Store, hostId: string, ref: Holding): Promise<boolean> {
  const holder = holderOf(ref);
  const now = judgedBy(store.client, await databaseNow(store));
  // One operation: a renewal comes before it, and it changes nothing, or after it, and finds the task listed.
  const { matchedCount } = await hostsOf(store).updateOne(
    { _id: hostId, expiresAt: { $lte: now } },
    { $addToSet: { evict: holder, outdated: holder } },
  );
  return matchedCount === 1 || (await hostsOf(store).findOne({ _id: hostId })) === null;
}

/** Why a host cannot begin tasks. */
export interface Unfit {
  step: 'prepareWorkdir' | 'launchAppServer';
  reason: string;
  since: Date;
}

/** Notes that a host cannot begin tasks, or can again. */
export async function noteUnfit(store: Store, hostId: string, unfit: Unfit | null): Promise<void> {
  const change = unfit ? { $set: { unfit } } : { $unset: { unfit: true } as const };
  await hostsOf(store).updateOne({ _id: hostId }, change);
}

export const readUnfit = async (store: Store, hostId: string): Promise<Unfit | null> =>
  (await hostsOf(store).findOne({ _id: hostId }))?.unfit ?? null;

/** Removes a task from the eviction list: the host evicted it, or it was moved after the host's end. */
export async function acknowledgeEviction(store: Store, hostId: string, ref: Holding): Promise<void> {
  const holder = holderOf(ref);
  await hostsOf(store).updateOne({ _id: hostId }, { $pull: { evict: holder, outdated: holder } });
}

/** Asks every living host to drop what it keeps of an ended task: their next renewals return it. */
export async function requestForgetting(store: Store, taskId: string): Promise<void> {
  const now = await databaseNow(store);
  await hostsOf(store).updateMany({ expiresAt: { $gt: now } }, { $addToSet: { forget: taskId } });
}

export async function settleForgetting(store: Store, hostId: string, taskId: string): Promise<void> {
  await hostsOf(store).updateOne({ _id: hostId }, { $pull: { forget: taskId } });
}

/** What is known of a host; null when it never registered. */
export async function findHost(store: Store, hostId: string): Promise<HostInfo | null> {
  const host = await hostsOf(store).findOne({ _id: hostId });
  return host && describeHost(host, await databaseNow(store));
}

/** Every host that registered once and was not removed, by id. */
export async function listHosts(store: Store): Promise<HostInfo[]> {
  const hosts = await hostsOf(store)
    .find({}, { sort: { _id: 1 } })
    .toArray();
  const now = await databaseNow(store);
  return hosts.map((host) => describeHost(host, now));
}

const describeHost = (
  { _id, outdated: _outdated, format: _format, ...host }: HostDocument,
  now: Date,
): HostInfo => ({
  ...host,
  hostId: _id,
  labels: host.labels ?? {},
  evict: host.evict ?? [],
  forget: host.forget ?? [],
  alive: host.expiresAt > now,
  endsInMs: host.expiresAt.getTime() - now.getTime(),
});

const fromNow = async (store: Store, ms: number): Promise<Date> =>
  new Date((await databaseNow(store)).getTime() + ms);
