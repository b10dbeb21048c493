import { CancellationScope, condition } from '@temporalio/workflow';
import { openDeadline } from './deadline.js';
import type { Task } from './task.js';

/** Drops decisions for which no request arrives, for as long as `run` works, whatever state the task is in. */
export async function withoutStrays<T>(task: Task, run: () => Promise<T>): Promise<T> {
  let isOver = false;
  // A cancellation leaves the task to its teardown, and this to it.
  const dropping = CancellationScope.nonCancellable(() => dropStrays(task, () => isOver));
  try {
    return await run();
  } finally {
    isOver = true;
    await dropping;
  }
}

async function dropStrays({ permissions }: Task, isOver: () => boolean): Promise<void> {
  const deadline = openDeadline();
  for (;;) {
    const until = permissions.earlyUntilMs;
    deadline.set(until);
    await condition(
      () => isOver() || permissions.earlyUntilMs !== until || (until !== null && deadline.isOver),
    );
    if (isOver()) return deadline.clear();
    permissions.dropEarly(Date.now());
  }
}
