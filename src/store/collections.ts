import { ObjectId, type Collection } from 'mongodb';
import type { Store } from './mongo.js';

/** A stored credential. The Python package reads and writes the same documents and knows no epoch. */
export interface SeedDocument {
  _id: ObjectId;
  createdAt: Date;
  blobId: ObjectId;
  manifestVersion: number;
  updatedAt?: Date;
  poolKey?: string;
  status?: SeedStatus;
  lease?: { holder: string; expiresAt: Date } | null;
  /** Grows by one with every lease; what a holder writes is accepted only with the epoch of its lease. */
  leaseEpoch?: number;
  /**
   * Which attempt of a step last took a lease: later ones of its holder take it over, earlier ones do not. Digests, no
   * names.
   */
  leaseRequest?: LeaseRequest & { holder: string };
  /** The host and process that last retook the lease or adopted the task, and the epoch it got. */
  leaseRetaken?: { hostId: string; by?: string; leaseEpoch: number };
  lastLeasedAt?: Date;
  /** Which Temporal namespace the holder is in; missing on those of foreign clients. */
  leaseFleet?: string;
  lastRefreshedAt?: Date;
  lastVerifiedAt?: Date;
  /** Blobs that the current one replaced, newest first, at most three. */
  previousBlobs?: ObjectId[];
  /** Grows when blobs of this seed are collected: none that was stored before may be named after. */
  blobFence?: number;
  /** A hash of the refresh token in the blob, unique among seeds; missing where nothing rotates. */
  login?: string;
  /** The blob that `login` is of: with another one a foreign client has replaced it since. */
  loginBlob?: ObjectId;
  /** When codex refreshed what is in it, as it says. */
  authRefreshedAt?: Date;
  /** Logins that it had before, newest first. */
  earlierLogins?: string[];
  /** Why nobody may lease the seed, though its account may be alive. */
  hold?: SeedHold;
  metadata?: Record<string, unknown>;
}

/**
 * `quarantined`: its newest credential may be in quarantine; `duplicate`: its login is in another seed; `exported`: it
 * is used elsewhere.
 */
export interface SeedHold {
  kind: 'quarantined' | 'duplicate' | 'exported';
  reason: string;
  at: Date;
  /** Its status before. */
  was: SeedStatus;
  /** A person replaced it by another seed, to which its logins belong now. */
  isReplaced?: boolean;
  /** Its earlier pool, when it was removed from that. */
  pool?: string;
}

/**
 * One attempt to get a lease. Temporal tries a step again whose answer it lost, while the first attempt may continue.
 */
export interface LeaseRequest {
  /** The same for all attempts of one step. */
  step: string;
  /** When this attempt was scheduled, by the clock of the one who schedules them all. */
  at: Date;
}

export type SeedStatus = 'alive' | 'dead';

/** A credential that could not be saved to its seed: who held it, why, and where the bytes are. */
export interface QuarantineDocument {
  _id: ObjectId;
  seedId: string;
  taskId: string;
  holder: string;
  leaseEpoch: number;
  reason: string;
  at: Date;
  blobId: ObjectId;
  sha256: string;
  /** It was compared with its seed and is not newer, or a person decided. */
  settled?: boolean;
  version?: number;
}

/** The right of a host to run its tasks. */
export interface HostDocument {
  /** The host id. */
  _id: string;
  /** The Temporal namespace of its worker, where that is known. */
  fleet?: string;
  /** Grows by one with every start of the worker; the first one is the time in seconds. */
  epoch: number;
  expiresAt: Date;
  /** Of this document; `version` is that of codex. */
  format?: number;
  /** How long a lease lives there without renewal, milliseconds; missing on hosts of an earlier version. */
  ttlMs?: number;
  /** Of `evict`, those that another host may have continued. */
  outdated?: string[];
  /** Assignments that the host has to evict, as leases name them. */
  evict: string[];
  /** Ended tasks whose journals the host has to drop. */
  forget?: string[];
  listenerUrl: string;
  labels: Record<string, string>;
  version: string;
  /** Why it cannot begin tasks; missing: it can. */
  unfit?: { step: 'prepareWorkdir' | 'launchAppServer'; reason: string; since: Date };
}

/** A saved session. `processId` is the snapshot key; `layout` is missing on those of the Python package. */
export interface SnapshotDocument {
  _id: ObjectId;
  processId: string;
  capturedAt: Date;
  endState: SnapshotEnd;
  workdirBlobId: ObjectId;
  /** What changed since that archive, oldest first; only checkpoints have it. */
  changeBlobIds?: ObjectId[];
  sessionId: string | null;
  layout?: number;
  /** Whose it is; several tasks may have one key. Older ones do not say. */
  taskId?: string;
  runId?: string;
  /** The call that asked for it: the same call again gets this snapshot. */
  request?: string;
  /** Content before compression, which a restore may not exceed; and members. */
  contentBytes?: number;
  entries?: number;
  /** What could not be stored, the first ones by name. */
  skipped?: { count: number; first: { name: string; why: string }[] };
  details?: Record<string, unknown>;
}

/** How its task ended; `running` for a checkpoint. */
export type SnapshotEnd = 'done' | 'cancelled' | 'failed' | 'running';

export const seedsOf = (store: Store): Collection<SeedDocument> =>
  store.db.collection(`${store.prefix}_codex_seeds`);

export const quarantineOf = (store: Store): Collection<QuarantineDocument> =>
  store.db.collection(`${store.prefix}_codex_quarantine`);

export const hostsOf = (store: Store): Collection<HostDocument> =>
  store.db.collection(`${store.prefix}_codex_hosts`);

export const snapshotsOf = (store: Store): Collection<SnapshotDocument> =>
  store.db.collection(`${store.prefix}_codex_session_snapshots`);

/** The id that a text of 24 hex digits stands for; null for any other text, which names nothing. */
export const objectIdOf = (text: string): ObjectId | null =>
  /^[0-9a-fA-F]{24}$/.test(text) ? new ObjectId(text) : null;
