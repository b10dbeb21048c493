import { reasonOf } from '../../errors.js';
import { collectOrphans } from '../../store/collect.js';
import { holdingOf } from '../../store/holders.js';
import { listGoneHosts, removeHost } from '../../store/hosts.js';
import { clearExpired, listExpired, type ExpiredLease } from '../../store/leases.js';
import { countQuarantine } from '../../store/quarantine.js';
import { endAssignmentsOfRemovedHosts } from '../../store/assignments.js';
import { settleSeed, unsettledSeeds } from '../../store/settle-quarantine.js';
import { timeLimit } from '../../async/time-limit.js';
import type { HostContext } from '../model/host-context.js';

const COLLECT_EVERY_MS = 3_600_000;

/** How long the lease of an ended task outlives its end: its host may still be saving a rotated token. */
const ENDED_GRACE_MS = 60_000;

/** The same for holders without a known workflow, such as the Python package's. */
const FOREIGN_GRACE_MS = 600_000;

/** How long the right of an absent host has ended before its document is removed. */
const GONE_MS = 24 * 3_600_000;

/** How long the query of every running task for hosts in use may take. */
const LOOK_MS = 45_000;

/** Longest wait of a metrics page for one of these figures. */
const COUNT_MS = 1_000;

/**
 * Removes leftovers of dead hosts from the database: leases of ended tasks, unnamed blobs, and the documents of
 * hosts. Every worker does it, and each step may run in several at once.
 * @returns one round, to be called each minute; never throws, and does nothing more after an abort
 */
export function storeKeeper(host: HostContext, signal: AbortSignal): () => Promise<void> {
  const forgetHosts = hostForgetter(host, signal);
  let collectAt = 0;
  return async () => {
    if (signal.aborted) return;
    try {
      await Promise.all((await listExpired(host.store)).map((lease) => reapOrKeep(host, lease)));
      // A lease of such a seed does this too; until then clients that know no quarantine must keep from it.
      const isHourly = Date.now() >= collectAt;
      for (const seedId of signal.aborted ? [] : await unsettledSeeds(host.store, { held: isHourly }))
        await settleSeed(host.store, seedId);
      if (signal.aborted || !isHourly) return;
      collectAt = Date.now() + COLLECT_EVERY_MS;
      const { deleted, rescued } = await collectOrphans(host.store, { signal });
      for (const quarantineId of rescued) host.log.error({ quarantineId }, 'credential.rescued');
      if (deleted > 0) host.log.info({ deleted }, 'blobs.collected');
      if (!signal.aborted) await forgetHosts();
      const assignments = signal.aborted ? 0 : await endAssignmentsOfRemovedHosts(host.store);
      if (assignments > 0) host.log.info({ assignments }, 'assignments.removed');
    } catch (error) {
      host.log.warn({ reason: reasonOf(error) }, 'store.sweep.failed');
    }
  };
}

/** How many quarantined credentials wait for a person; null: the database does not say. */
export const countQuarantined = ({ store }: Pick<HostContext, 'store'>): Promise<number | null> =>
  countQuarantine(store, COUNT_MS);

/**
 * Removes the documents of dead hosts that no running task names: at the second look in a row, since a task that
 * continues as new is missing in Temporal's list for a moment.
 */
function hostForgetter(
  host: Pick<HostContext, 'hostsInUse' | 'hostId' | 'store' | 'log'>,
  signal: AbortSignal,
): () => Promise<void> {
  let unused = new Set<string>();
  return async () => {
    const gone = (await listGoneHosts(host.store, GONE_MS)).filter(({ hostId }) => hostId !== host.hostId);
    const before = unused;
    unused = new Set();
    if (gone.length === 0) return;
    const inUse = await host.hostsInUse(timeLimit(LOOK_MS, signal));
    for (const each of gone.filter(({ hostId }) => !inUse.has(hostId))) {
      const { hostId } = each;
      if (!before.has(hostId)) unused.add(hostId);
      else if (await removeHost(host.store, each)) host.log.info({ hostId }, 'host.removed');
    }
  };
}

/** A task of unknown status keeps its own lease for the next round, and no other one. */
async function reapOrKeep(
  host: Pick<HostContext, 'isRunning' | 'store' | 'log'>,
  lease: ExpiredLease,
): Promise<void> {
  const { seedId, holder } = lease;
  await reap(host, lease).catch((error: unknown) =>
    host.log.warn({ seedId, holder, reason: reasonOf(error) }, 'lease.reap.failed'),
  );
}

async function reap(
  host: Pick<HostContext, 'isRunning' | 'store' | 'log'>,
  lease: ExpiredLease,
): Promise<void> {
  const { seedId, holder, expiredForMs, fleet } = lease;
  if (expiredForMs < ENDED_GRACE_MS) return;
  // Nobody here knows the status of a task in another Temporal namespace.
  if (fleet !== undefined && fleet !== host.store.fleet) return;
  const assignment = holdingOf(holder);
  if (assignment === null) {
    if (expiredForMs < FOREIGN_GRACE_MS) return;
    // A running task may be cut off from the database: its holder returns and saves.
  } else if (await host.isRunning(assignment)) return;
  if (await clearExpired(host.store, lease)) host.log.warn({ seedId, holder }, 'lease.reaped');
}
