import { orAborted } from '../../async/abort.js';
import { reasonOf } from '../../errors.js';
import { handOver } from './evict-tasks.js';
import type { HostContext } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { stopTask } from './stop-sessions.js';

/** Moves every task here at the end of its running turn, at the latest when `signal` aborts. */
export async function handOverTasks(host: HostContext, signal: AbortSignal): Promise<void> {
  const moves = host.tasks.all().map((task) =>
    handOverTask(host, task, signal).catch((error: unknown) =>
      // The remaining tasks are stopped next and stay for the next worker.
      host.log.error({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'task.move.failed'),
    ),
  );
  await Promise.all(moves);
}

/**
 * Stops the task between two turns and moves it to another host. A task that cannot move stays for the next worker.
 */
async function handOverTask(host: HostContext, task: HostTask, signal: AbortSignal): Promise<void> {
  if (task.kind === 'live') {
    const { thread } = task.session;
    await orAborted(thread.turns.hold(), signal);
    // That turn may have ended the session: its workflow tears it down.
    const isPutBack = () => !thread.turns.hasEnded || host.tasks.find(task.ref.taskId) !== task;
    while (!isPutBack() && !signal.aborted) await host.tasks.whenChanged(signal).catch(() => undefined);
    if (host.tasks.find(task.ref.taskId) !== task) return;
    if (!thread.turns.hasEnded) return handOver(host, task);
  }
  await stopTask(host, task);
}
