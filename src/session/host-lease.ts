import { reasonOf } from '../errors.js';
import { leaveHost, registerHost, renewHost } from '../store/hosts.js';
import type { HostContext } from './host-context.js';
import { DETACHED_MS } from './renew-task-lease.js';

const TTL_MS = 60_000;
const RENEW_MS = 10_000;

/** The right of this host to run tasks, renewed until closed. A detached worker leaves it to its tasks for a while. */
export async function holdHostLease(
  { store, hostId, codex, log, tasks }: HostContext,
  listenerUrl: string,
): Promise<{ close(): Promise<void> }> {
  const { epoch } = await registerHost(store, { hostId, listenerUrl, version: codex.version, ttlMs: TTL_MS });
  const lease = { hostId, epoch };
  let renewing: Promise<void> = Promise.resolve();
  const renew = async () => {
    try {
      if (!(await renewHost(store, lease, TTL_MS))) log.error({ hostId, epoch }, 'host.lease.refused');
    } catch (error) {
      log.warn({ hostId, reason: reasonOf(error) }, 'host.lease.retry');
    }
  };
  const timer = setInterval(() => void (renewing = renewing.then(renew)), RENEW_MS);
  return {
    async close() {
      clearInterval(timer);
      await renewing;
      if (tasks.detached.aborted) await renewHost(store, lease, DETACHED_MS);
      else await leaveHost(store, lease);
    },
  };
}
