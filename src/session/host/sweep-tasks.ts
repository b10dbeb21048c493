import { reasonOf } from '../../errors.js';
import { adoptTasks } from './adopt-tasks.js';
import { endStrays } from './end-strays.js';
import type { HostContext } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { storeKeeper } from './store-janitor.js';
import { isOurs } from '../task/is-ours.js';
import { evictTask } from './evict-tasks.js';
import { endOrphan } from '../task/end-orphan.js';

const SWEEP_MS = 60_000;

/**
 * Looks every minute for unowned parts: tasks whose workflow has ended, folders of unknown tasks, processes without a
 * task. Adopts or ends each. Restarts a dead guard, then cleans the database.
 */
export function sweepTasks(host: HostContext): { close(): Promise<void> } {
  let sweeping: Promise<unknown> = Promise.resolve();
  const ending = new AbortController();
  const startStoreJanitor = storeKeeper(host, ending.signal);
  const round = () => sweep(host).then(startStoreJanitor);
  const timer = setInterval(() => void (sweeping = sweeping.then(round)), SWEEP_MS).unref();
  return {
    async close() {
      clearInterval(timer);
      ending.abort();
      await sweeping;
    },
  };
}

/** One look. The next one retries failures. */
export async function sweep(host: HostContext): Promise<void> {
  if (host.tasks.isDraining) return;
  for (const task of host.tasks.all()) {
    if (task.kind === 'claimed') continue;
    try {
      await look(host, task);
    } catch (error) {
      host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'task.sweep.failed');
    }
  }
  const isLive = (task: HostTask) => task.kind === 'live';
  if (host.tasks.all().some(isLive)) host.guard();
  await endStrays(host).catch((error: unknown) =>
    host.log.warn({ reason: reasonOf(error) }, 'processes.sweep.failed'),
  );
  await adoptTasks(host);
}

/** Ends a task that this host no longer owns. */
async function look(host: HostContext, task: Exclude<HostTask, { kind: 'claimed' }>): Promise<void> {
  const { ref, prepared } = task;
  if (!(await host.isRunning(ref))) return endOrphan(host, task);
  if (await isOurs(host, ref, prepared.moved)) return;
  // Its workflow runs elsewhere: what is here is outdated.
  await evictTask(host, { ref, isOutdated: true });
}
