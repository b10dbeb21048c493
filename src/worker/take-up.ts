import type { Config } from '../config.js';
import { createApp } from '../listener/app.js';
import { listen } from '../listener/listen.js';
import type { Log } from '../log.js';
import { mayChangeKernel } from '../process/kernel-settings.js';
import { whyNothingOutlives } from '../process/outlives-worker.js';
import { adoptTasks } from '../session/host/adopt-tasks.js';
import { announceReturn } from '../session/host/announce-return.js';
import { endStrays } from '../session/host/end-strays.js';
import { evictTasks } from '../session/host/evict-tasks.js';
import { holdHostLease } from '../session/host/host-lease.js';
import { forgetEnded } from '../session/host/leftover-folders.js';
import { countQuarantined } from '../session/host/store-janitor.js';
import { sweepTasks } from '../session/host/sweep-tasks.js';
import { wakeWaiters } from '../session/host/wake-waiters.js';
import type { Openings } from './close-in-order.js';
import type { OpenHost } from './open-host.js';

/**
 * Shows the host to others, takes its lease, and takes up what an earlier worker left running.
 * @param onSuperseded told when another worker has taken the host over
 * @throws TaskError when it may not have the host, or nothing can listen at its address
 */
export async function takeUp(
  { host, standing, secret }: OpenHost,
  openings: Openings,
  onSuperseded: () => void,
): Promise<void> {
  const { config, log } = host;
  let markRecovered: () => void = () => undefined;
  const recovered = new Promise<void>((resolve) => (markRecovered = resolve));
  const app = createApp({
    host,
    secret,
    notReady: () => standing.notReady,
    recovered,
    quarantined: () => countQuarantined(host),
  });
  const listening = openings.opened('listener', await listen(app, config.listen), (each) => each.close());
  standing.publicUrl = config.publicUrl ?? addressOf(config.listen.host, listening.port);
  // Before here a start may fail, and its reason is the one line that is printed.
  await warnOfDetach(config, log);
  warnOfRoot(log);
  const evictions = evictTasks(host, recovered);
  const lease = await holdHostLease(host, {
    listenerUrl: standing.publicUrl,
    onEvict: (eviction) => evictions.evict(eviction),
    onForget: (taskId) => void forgetEnded(host, taskId),
    onBack: () => announceReturn(host),
    onSuperseded,
  });
  standing.lease = openings.opened('host lease', lease, (each) => each.close());
  openings.opened('evictions', evictions, (each) => each.close());
  await endStrays(host);
  await adoptTasks(host, lease.evicted);
  markRecovered();
  openings.opened('sweep', sweepTasks(host), (each) => each.close());
  openings.opened('waiters', wakeWaiters(host), (each) => each.close());
}

/** A worker that would leave codex running says so where that cannot be. */
async function warnOfDetach({ drain, maxSessions }: Config, log: Log): Promise<void> {
  log.info({ maxSessions, drain }, 'worker.settings');
  const because = drain === 'detach' ? await whyNothingOutlives() : null;
  if (because !== null)
    log.warn({ because, remedy: 'set CODEX_TASK_DRAIN=stop' }, 'worker.detach.unavailable');
}

function warnOfRoot(log: Log): void {
  if (!mayChangeKernel()) return;
  const because = 'commands in the sandbox may change settings of the kernel (/proc/sys), as this user may';
  log.warn({ because, remedy: 'run the worker as a user of its own, not as root' }, 'worker.sandbox.open');
}

/** An address that clients on this machine can use when the listener takes all of them. */
function addressOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
