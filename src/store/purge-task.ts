import { requireKnown } from '../formats.js';
import { blobsOfTask, deleteBlob, type BlobInfo } from './blobs.js';
import { parseHolder, type Holding } from './holders.js';
import { TEXT_BLOB } from './kept-texts.js';
import { listHosts, requestForgetting, acknowledgeEviction } from './hosts.js';
import { clearExpired, leasesOfTask, type ExpiredLease } from './leases.js';
import type { Store } from './mongo.js';
import { quarantineOfTask } from './quarantine.js';
import { dropSnapshotBlobs, looseBlobsOf, noteLoose } from './snapshot-blobs.js';
import { deleteSnapshot, snapshotsOfTask, type Snapshot } from './snapshots.js';
import { removeState, stateOfTask, type KeptState } from './task-state.js';
import { endAssignment, findAssignment, type AssignmentRecord } from './assignments.js';
import { forgetWaiter, waitersOfTask, type Waiter } from './waiters.js';

/** Inputs of running tasks name these, so they may be needed. The naming task, by what it names. */
export interface NamedByOthers {
  readonly blobs: ReadonlyMap<string, string>;
  readonly snapshots: ReadonlyMap<string, string>;
  /** Resumes by key continue from the newest snapshot of it. */
  readonly keys: ReadonlyMap<string, string>;
}

/** Everything the database holds of a task, by ids: never of a later task of that name. */
export interface TaskRemains {
  readonly taskId: string;
  readonly snapshots: readonly Snapshot[];
  /** Blobs of snapshots that were not finished, or not wholly removed. */
  readonly looseBlobs: readonly string[];
  /** Deliverables, files it began with, pieces of its journal; all of them in GridFS. */
  readonly blobs: readonly BlobInfo[];
  readonly state: KeptState;
  readonly waiters: readonly Waiter[];
  /** Hosts without a lease that still have the task on their eviction list. */
  readonly hosts: readonly HostAssignment[];
  /** Its last assignment, on a host without a lease. */
  readonly assignments: readonly AssignmentRecord[];
  /** Leases that ran out a while ago. */
  readonly leases: readonly ExpiredLease[];
  /** What stays, and why. */
  readonly left: readonly NotPurged[];
}

export interface HostAssignment {
  readonly hostId: string;
  readonly assignment: Holding;
}

export interface NotPurged {
  readonly what: string;
  readonly why: string;
}

/** What tasks store under these names is theirs alone; credentials have others. */
export const OWN_NAMES = new Set(['journal', 'ledger', 'deliverable', 'file', TEXT_BLOB]);
/** As long as a worker waits before it clears the lease of an ended task. */
const LEASE_GRACE_MS = 60_000;

/** Looks for all that is stored of a task. Changes nothing. */
export async function findRemains(store: Store, taskId: string, named: NamedByOthers): Promise<TaskRemains> {
  const left: NotPurged[] = [];
  const unless = (what: string, by: string | undefined): boolean => {
    if (by !== undefined) left.push({ what, why: `the input of running task ${by} names it` });
    return by === undefined;
  };
  const all = await snapshotsOfTask(store, taskId);
  // Checked before anything is removed: this worker does not know all that belongs to a newer snapshot.
  for (const { id, layout } of all) requireKnown('snapshot', layout, `Snapshot ${id}`);
  const newestOf = new Map(all.toReversed().map(({ key, id }) => [key, id]));
  const snapshots = all.filter(({ id, key }) =>
    unless(
      `snapshot ${id}`,
      named.snapshots.get(id) ?? (newestOf.get(key) === id ? named.keys.get(key) : undefined),
    ),
  );
  const stored = await blobsOfTask(store, taskId);
  const blobs = stored.filter(
    ({ id, filename }) => OWN_NAMES.has(filename) && unless(`${filename} ${id}`, named.blobs.get(id)),
  );
  // Blobs of snapshots that stay are named by them, and so they stay too.
  const workdirs = stored.filter(({ filename }) => filename === 'workdir');
  const taken = new Set(all.flatMap(blobIdsOf));
  const looseBlobs = [
    ...new Set([...(await looseBlobsOf(store, taskId)), ...workdirs.map(({ id }) => id)]),
  ].filter((id) => !taken.has(id));

  const last = await findAssignment(store, taskId);
  const assignments = last ? [last] : [];
  const hosts: HostAssignment[] = [];
  for (const { hostId, alive, evict } of await listHosts(store)) {
    const evicted = evict.map(parseHolder).filter((assignment) => assignment.taskId === taskId);
    const isThere = evicted.length > 0 || last?.hostId === hostId;
    if (alive && isThere) {
      left.push({ what: `host ${hostId}`, why: 'it is evicting the task' });
      if (last?.hostId === hostId) assignments.pop();
    } else hosts.push(...evicted.map((assignment) => ({ hostId, assignment })));
  }
  const leases: ExpiredLease[] = [];
  for (const lease of await leasesOfTask(store, taskId)) {
    if (lease.expiredForMs >= LEASE_GRACE_MS) leases.push(lease);
    else
      left.push({
        what: `lease of seed ${lease.seedId}`,
        why: `its host may still save the credential; it ends ${lease.expiresAt.toISOString()}`,
      });
  }
  for (const { quarantineId, seedId } of await quarantineOfTask(store, taskId))
    left.push({
      what: `quarantined credential ${quarantineId}`,
      why: `it may be the only one of seed ${seedId} that works: codex-task seeds quarantine delete ${quarantineId}`,
    });
  const state = await stateOfTask(store, taskId);
  const waiters = await waitersOfTask(store, taskId);
  return { taskId, snapshots, looseBlobs, blobs, state, waiters, hosts, assignments, leases, left };
}

/** Whether there is nothing to remove. */
export const isEmpty = ({
  snapshots,
  looseBlobs,
  blobs,
  state,
  waiters,
  hosts,
  assignments,
  leases,
}: TaskRemains): boolean =>
  [
    snapshots,
    looseBlobs,
    blobs,
    state.parts,
    state.messages,
    state.marks,
    waiters,
    hosts,
    assignments,
    leases,
  ].every((each) => each.length === 0);

/**
 * Removes what was found. An interrupted purge can be repeated: blobs of snapshots are noted before their documents
 * are removed, and other blobs are removed before the documents that name them.
 */
export async function removeRemains(store: Store, remains: TaskRemains): Promise<void> {
  const { taskId, snapshots, looseBlobs, blobs, state, waiters, hosts, assignments, leases } = remains;
  await requestForgetting(store, taskId);
  await noteLoose(store, [...new Set(snapshots.flatMap(blobIdsOf))], taskId);
  for (const { id } of snapshots) await deleteSnapshot(store, id);
  await dropSnapshotBlobs(store, looseBlobs);
  for (const { id } of blobs) await deleteBlob(store, id);
  await removeState(store, state);
  for (const waiter of waiters) await forgetWaiter(store, waiter);
  for (const { hostId, assignment } of hosts) await acknowledgeEviction(store, hostId, assignment);
  // A host that returns evicts what is not on record for it.
  for (const assignment of assignments) await endAssignment(store, assignment, assignment.hostId);
  for (const lease of leases) await clearExpired(store, lease);
}

const blobIdsOf = ({ blobId, changeBlobIds }: Snapshot): string[] => [blobId, ...changeBlobIds];
