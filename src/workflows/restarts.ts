import { condition } from '@temporalio/workflow';
import { failureType, firstToSettle } from './settle.js';
import type { Task } from './task.js';

/** How long a host that is gone may take to come back. */
const HOST_RETURNS = '150s';

/** What a step fails with when its worker is gone or going. */
const HOST_GONE = new Set(['HostLost', 'WorkerShutdown']);

export const isHostGone = (error: unknown): boolean => HOST_GONE.has(failureType(error) ?? '');

/**
 * Runs a step on the task's host, and runs it again whenever the host says that it took the task up anew. When
 * the host is gone the step waits for that, so each step must be repeatable.
 */
export async function throughRestarts<T>(task: Task, step: () => Promise<T>): Promise<T> {
  for (;;) {
    const { restarts } = task;
    const restarted = () => task.restarts !== restarts;
    try {
      const first = await firstToSettle<{ result: T } | null>(
        async () => ({ result: await step() }),
        async () => {
          await condition(restarted);
          return null;
        },
      );
      if (first) return first.result;
    } catch (error) {
      if (!isHostGone(error)) throw error;
      task.enter('recovering');
      if (!(await condition(restarted, HOST_RETURNS))) throw error;
    }
  }
}
