import { reasonOf } from '../errors.js';
import { releaseLease } from '../store/leases.js';
import { adoptTasks } from './adopt-tasks.js';
import { closeTask, endSession } from './end-task.js';
import { endStrays } from './end-strays.js';
import type { HostContext } from './host-context.js';
import type { HostTask } from './host-tasks.js';
import { storeKeeper } from './keep-store.js';
import { saveAbandoned } from './save-abandoned.js';
import { saveForGood } from './account/save-credential.js';

const SWEEP_MS = 60_000;

/**
 * Looks every minute for what has no owner here: tasks whose workflow has ended without them, folders that no task
 * here knows, processes without a task. Each is taken up or put back. Also a guard that is gone comes back; then
 * the database is kept clean.
 */
export function sweepTasks(host: HostContext): { close(): Promise<void> } {
  let sweeping: Promise<unknown> = Promise.resolve();
  const ending = new AbortController();
  const keepStore = storeKeeper(host, ending.signal);
  const round = () => sweep(host).then(keepStore);
  const timer = setInterval(() => void (sweeping = sweeping.then(round)), SWEEP_MS).unref();
  return {
    async close() {
      clearInterval(timer);
      ending.abort();
      await sweeping;
    },
  };
}

/** One look. What fails is tried again at the next. */
export async function sweep(host: HostContext): Promise<void> {
  if (host.tasks.isDraining) return;
  for (const task of host.tasks.all()) {
    if (task.is === 'claimed') continue;
    try {
      if (!(await host.isRunning(task.ref))) await putBack(host, task);
    } catch (error) {
      host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'task.sweep.failed');
    }
  }
  const isLive = (task: HostTask) => task.is === 'live';
  if (host.tasks.all().some(isLive)) host.guard();
  await endStrays(host).catch((error: unknown) =>
    host.log.warn({ reason: reasonOf(error) }, 'processes.sweep.failed'),
  );
  await adoptTasks(host);
}

async function putBack(host: HostContext, task: Exclude<HostTask, { is: 'claimed' }>): Promise<void> {
  const { ref } = task;
  const { lease } = task.prepared;
  host.log.warn({ taskId: ref.taskId }, 'task.orphaned');
  await endSession(host, ref);
  if (lease) {
    await saveForGood(host, task.prepared, lease);
    await releaseLease(host.store, lease);
  }
  await saveAbandoned(host, task.prepared.folder);
  await closeTask(host, { ref, reason: 'its workflow has ended', outcome: 'failed', keepWork: false });
}
