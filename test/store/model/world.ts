import type { SeedDocument } from '../../../src/store/collections.js';
import type { Lease } from '../../../src/store/leases.js';
import type { Store } from '../../../src/store/mongo.js';
import { KEYS, type Backend } from './backends.js';
import type { Actor } from './scheduler.js';
import { issued } from '../issued.js';

export const TTL_MS = 60_000;
export const FENCE_MS = 10_000;
export const DAY_MS = 24 * 3_600_000;
export const POOL = 'pool';

export interface ModelClock {
  now: number;
}

/** What is under way of one process: each kind has other rights. */
export type Act = 'acquire' | 'retake' | 'save' | 'end' | 'other';

/**
 * A worker with one codex. `disk` is its auth.json, `saved` what it knows to be in the database, `lease` what its
 * task folder names. `fence` is when the guard ends codex, whatever became of the worker. `twin` is an earlier attempt
 * of its step, whose answer nobody waits for any more.
 */
export interface Writer {
  readonly actor: Actor;
  readonly twin: Actor;
  readonly holder: string;
  /** Of its host: milliseconds ahead. */
  readonly clockAheadMs: number;
  /** Its host was started before the second key was rolled out. */
  readonly isKeyless: boolean;
  act: Act;
  attempts: number;
  /** The step that got its lease, as seeds keep it; null: none has. */
  step: string | null;
  crashed: boolean;
  lease: Lease | null;
  disk: string | null;
  saved: string | null;
  fence: number;
  /** Another client has put something older over what it saved. */
  isOverwritten: boolean;
  /** Its last lease, if a person has deleted the seed by force meanwhile; it hears of it at its next renewal. */
  torn: string | null;
  /** What its twin took last, and what of that nobody may know. */
  twinTook: string | null;
  readonly strays: Set<string>;
  /** Until when this worker has put a seed aside that it cannot read. */
  readonly unfit: Map<string, number>;
  /** Seeds that were free when its acquire began, and that nobody touched since. */
  free: Set<string>;
  /** The same for its twin, which may have begun with an earlier one. */
  twinFree: Set<string>;
}

/** A session of the Python package: a lease without epoch and without a fence. */
export interface Foreigner {
  readonly actor: Actor;
  readonly holder: string;
  seedId: string | null;
  token: string | null;
  until: number;
}

/** Somebody at the command line, or what a worker does each minute. */
export interface Keeper {
  readonly actor: Actor;
  /** What is under way. */
  deed: string;
  /** What it is told to do to a seed that is leased too. */
  isForced: boolean;
}

export interface World {
  readonly backend: Backend;
  readonly store: Store;
  readonly clock: ModelClock;
  readonly random: (below: number) => number;
  readonly writers: Writer[];
  readonly keepers: Keeper[];
  readonly foreigner: Foreigner;
  /** What a token was refreshed from. */
  readonly parents: Map<string, string>;
  /** How far the clock of the host was ahead that refreshed a token. */
  readonly aheadMs: Map<string, number>;
  /** Of each blob with a credential: its token and where it was put. */
  readonly blobs: Map<string, { token: string; kind: 'seed' | 'quarantine'; seedId: string }>;
  /** Blobs that the client without epochs deleted. */
  readonly foreignDeleted: Set<string>;
  /** Blobs that were being collected when a new document named them, and in which life of whom. */
  readonly late: Map<string, { actor: Actor; life: number }>;
  /** Tokens that were in a blob when the disk of their host was lost. */
  readonly orphaned: Set<string>;
  /** Tokens that a seed had at some time, as its document says: people and other clients can have files with these. */
  readonly known: Set<string>;
  /** When it was noted of a blob that its seed is deleted. */
  readonly droppedAt: Map<string, number>;
  /** Seeds that clients without epochs have touched. */
  readonly foreign: Set<string>;
  /** Accounts of which another client has refreshed a copy before anybody of ours saw it: nothing tells of the two. */
  readonly forked: Set<string>;
  /** Accounts of which a seed was deleted, and with it what told that two of its tokens are of one account. */
  readonly cut: Set<string>;
  /** Accounts of which somebody has added another copy. */
  readonly copied: Set<string>;
  /** Archives that were exported. */
  readonly exports: Buffer[];
  tokens: number;
}

/** The store as a writer's process has it. */
export const storeOf = ({ backend }: World, writer: Writer, actor = writer.actor) =>
  writer.isKeyless
    ? backend.storeOf(actor, KEYS.a, [KEYS.a])
    : backend.storeOf(actor, KEYS.a, Object.values(KEYS));

/** One lease of a seed. */
export const epochOf = ({ _id, leaseEpoch }: SeedDocument): string => `${_id.toHexString()}/${leaseEpoch}`;

export const isTorn = ({ lease, torn }: Writer): boolean =>
  lease !== null && torn === `${lease.seedId}/${lease.leaseEpoch}`;

export const accountOf = (token: string): string => token.split('.')[0] ?? '';

/** A refresh: the token that comes next in the world, with the time that its host takes it for. */
export function refresh(world: World, token: string, clockAheadMs = 0): string {
  const next = `${accountOf(token)}.${++world.tokens}`;
  world.aheadMs.set(next, clockAheadMs);
  return next;
}

/** The auth.json of a token. */
export const bytesOf = ({ aheadMs }: World, token: string): Buffer => authOf(token, aheadMs.get(token));

/** Tokens are given out in the order of their numbers; the clock of the host that asked says something else. */
function authOf(token: string, clockAheadMs = 0): Buffer {
  const second = 1 + Number(token.split('.')[1]);
  const auth = JSON.parse(issued(token, second).toString()) as object;
  const last_refresh = new Date(second * 1000 + clockAheadMs).toISOString();
  return Buffer.from(JSON.stringify({ ...auth, last_refresh }));
}

/** Whether one token is what another became. */
export function comesFrom(parents: ReadonlyMap<string, string>, token: string, from: string): boolean {
  for (let at: string | undefined = token; at !== undefined; at = parents.get(at))
    if (at === from) return true;
  return false;
}
