import { reasonOf } from '../errors.js';
import { releaseLease } from '../store/leases.js';
import { closeTask, endSession } from './end-task.js';
import type { HostContext } from './host-context.js';
import type { HostTask } from './host-tasks.js';
import { storeKeeper } from './keep-store.js';
import { saveCredential } from './save-credential.js';

const SWEEP_MS = 60_000;

/**
 * Looks every minute for tasks here whose workflow has ended without them, and puts them back; then keeps the
 * database clean.
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

async function sweep(host: HostContext): Promise<void> {
  for (const task of host.tasks.all()) {
    if (task.is === 'claimed') continue;
    try {
      if (!(await host.isRunning(task.ref))) await putBack(host, task);
    } catch (error) {
      host.log.warn({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'task.sweep.failed');
    }
  }
}

async function putBack(host: HostContext, task: Exclude<HostTask, { is: 'claimed' }>): Promise<void> {
  const { ref } = task;
  const { lease } = task.prepared;
  host.log.warn({ taskId: ref.taskId }, 'task.orphaned');
  await endSession(host, ref);
  if (lease) {
    await saveCredential(host, task.prepared, lease);
    await releaseLease(host.store, lease);
  }
  await closeTask(host, { ref, reason: 'its workflow has ended', outcome: 'failed', keepWork: false });
}
