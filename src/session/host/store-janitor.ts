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

/** How long the lease of an ended task outlives its term: its host may still be saving what codex rotated. */
const ENDED_GRACE_MS = 60_000;

/** The same for holders that no workflow tells about, such as the Python package's. */
const FOREIGN_GRACE_MS = 600_000;

/** How long the right of a host that does not return has ended before its document goes. */
const GONE_MS = 24 * 3_600_000;

/** How long the look for hosts in use may take, which asks every running task. */
const LOOK_MS = 45_000;

/** A page of figures does not wait longer for one of them. */
const COUNT_MS = 1_000;

/**
 * What keeps the database free of leftovers of hosts that died: leases whose task has ended, blobs that nothing
 * names, and their own documents. Every worker does it; each step is one that several can take at once.
 * @returns one round, to be called each minute; never throws, and does nothing more after an abort
 */
export function storeKeeper(host: HostContext, signal: AbortSignal): () => Promise<void> {
  const forgetHosts = hostForgetter(host, signal);
  let collectAt = 0;
  return async () => {
    if (signal.aborted) return;
    try {
      await Promise.all((await listExpired(host.store)).map((lease) => reapOrKeep(host, lease)));
      // Whoever leases such a seed does this too; until then clients that know of no quarantine must keep from it.
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

/** How many credentials wait in quarantine for somebody to look at them; null: the database does not say. */
export const countQuarantined = ({ store }: Pick<HostContext, 'store'>): Promise<number | null> =>
  countQuarantine(store, COUNT_MS);

/**
 * Removes the documents of hosts that are gone and that no running task names: at the second look in a row, since a
 * task that continues as new is missing in Temporal's list for a moment.
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

/** One task of which nobody says whether it runs keeps its lease for the next round, and no other one. */
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
  // Of a task in another Temporal namespace nobody here can say whether it runs.
  if (fleet !== undefined && fleet !== host.store.fleet) return;
  const assignment = holdingOf(holder);
  if (assignment === null) {
    if (expiredForMs < FOREIGN_GRACE_MS) return;
    // A task that still runs may be cut off from the database: its holder comes back and saves.
  } else if (await host.isRunning(assignment)) return;
  if (await clearExpired(host.store, lease)) host.log.warn({ seedId, holder }, 'lease.reaped');
}
