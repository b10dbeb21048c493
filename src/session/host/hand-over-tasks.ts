import { orAborted } from '../../async/abort.js';
import { reasonOf } from '../../errors.js';
import { handOver } from './evict-tasks.js';
import type { HostContext } from '../model/host-context.js';
import type { HostTask } from '../model/host-tasks.js';
import { stopTask } from './stop-sessions.js';

/** Lets every task here go at the end of its running turn, at the latest when `signal` aborts. */
export async function handOverTasks(host: HostContext, signal: AbortSignal): Promise<void> {
  const moves = host.tasks.all().map((task) =>
    handOverTask(host, task, signal).catch((error: unknown) =>
      // What is still here is stopped next, and stays for the next worker.
      host.log.error({ taskId: task.ref.taskId, reason: reasonOf(error) }, 'task.move.failed'),
    ),
  );
  await Promise.all(moves);
}

/** The task stops between two turns and goes on with another host. One that cannot stays for the next worker. */
async function handOverTask(host: HostContext, task: HostTask, signal: AbortSignal): Promise<void> {
  if (task.is === 'live') {
    const { thread } = task.session;
    await orAborted(thread.turns.hold(), signal);
    // With that turn the session may have ended: its workflow puts it back.
    const isPutBack = () => !thread.turns.hasEnded || host.tasks.find(task.ref.taskId) !== task;
    while (!isPutBack() && !signal.aborted) await host.tasks.whenChanged(signal).catch(() => undefined);
    if (host.tasks.find(task.ref.taskId) !== task) return;
    if (!thread.turns.hasEnded) return handOver(host, task);
  }
  await stopTask(host, task);
}
