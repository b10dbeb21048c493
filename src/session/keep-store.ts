import { reasonOf } from '../errors.js';
import { collectOrphans } from '../store/collect.js';
import { clearExpired, listExpired, type ExpiredLease } from '../store/leases.js';
import { countQuarantine } from '../store/quarantine.js';
import type { HostContext } from './host-context.js';

const COLLECT_EVERY_MS = 3_600_000;

/** How long the lease of an ended task outlives its term: its host may still be saving what codex rotated. */
const ENDED_GRACE_MS = 60_000;

/** The same for holders that no workflow tells about, such as the Python package's. */
const FOREIGN_GRACE_MS = 600_000;

/** A page of figures does not wait longer for one of them. */
const COUNT_MS = 1_000;

/**
 * What keeps the database free of leftovers of hosts that died: leases whose task has ended, and blobs that
 * nothing names. Every worker does it; each step is one that several can take at once.
 * @returns one round, to be called each minute; never throws, and does nothing more after an abort
 */
export function storeKeeper(host: HostContext, signal: AbortSignal): () => Promise<void> {
  let collectAt = 0;
  return async () => {
    if (signal.aborted) return;
    try {
      await Promise.all((await listExpired(host.store)).map((lease) => reapOrKeep(host, lease)));
      if (signal.aborted) return;
      if (Date.now() < collectAt) return;
      collectAt = Date.now() + COLLECT_EVERY_MS;
      const { deleted, rescued } = await collectOrphans(host.store, { signal });
      for (const quarantineId of rescued) host.log.error({ quarantineId }, 'credential.rescued');
      if (deleted > 0) host.log.info({ deleted }, 'blobs.collected');
    } catch (error) {
      host.log.warn({ reason: reasonOf(error) }, 'store.sweep.failed');
    }
  };
}

/** How many credentials wait in quarantine for somebody to look at them; null: the database does not say. */
export const countQuarantined = ({ store }: HostContext): Promise<number | null> =>
  countQuarantine(store, COUNT_MS);

/** One task of which nobody says whether it runs keeps its lease for the next round, and no other one. */
async function reapOrKeep(host: HostContext, lease: ExpiredLease): Promise<void> {
  const { seedId, holder } = lease;
  await reap(host, lease).catch((error: unknown) =>
    host.log.warn({ seedId, holder, reason: reasonOf(error) }, 'lease.reap.failed'),
  );
}

async function reap(host: HostContext, lease: ExpiredLease): Promise<void> {
  const { seedId, holder, expiredForMs } = lease;
  if (expiredForMs < ENDED_GRACE_MS) return;
  const [, taskId, runId] = /^([^/]+)\/([0-9a-f-]{36})$/.exec(holder) ?? [];
  if (taskId === undefined || runId === undefined) {
    if (expiredForMs < FOREIGN_GRACE_MS) return;
    // A task that still runs may be cut off from the database: its holder comes back and saves.
  } else if (await host.isRunning({ taskId, runId })) return;
  if (await clearExpired(host.store, lease)) host.log.warn({ seedId, holder }, 'lease.reaped');
}
