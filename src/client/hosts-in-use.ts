import type { TaskClient } from './task-client.js';
import { isTaskId } from '../input/parse-task-input.js';

/** How many tasks are asked at a time: each without a worker takes as long as a query may. */
const AT_ONCE = 16;

/**
 * The hosts that running tasks name.
 * @throws what a task that did not answer failed with, or the signal's reason: then nobody knows of any host that it is
 * not in use
 */
export async function hostsInUse(
  tasks: Pick<TaskClient, 'list' | 'handle'>,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const hosts = new Set<string>();
  const running = tasks.list();
  let isOver = false;
  const askOneByOne = async () => {
    while (!isOver) {
      signal.throwIfAborted();
      const next = await running.next();
      if (next.done || isOver) return;
      signal.throwIfAborted();
      // A workflow of such a name is refused before it has a host.
      if (!isTaskId(next.value.taskId)) continue;
      const { host } = await tasks.handle(next.value.taskId).status();
      if (host !== null) hosts.add(host);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, askOneByOne));
    return hosts;
  } finally {
    isOver = true;
    // Not awaited: a page of the list that is asked for now may take its time.
    running.return(undefined).catch(() => undefined);
  }
}
