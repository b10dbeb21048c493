import { condition } from '@temporalio/workflow';
import { failureType, firstToSettle } from './settle.js';
import type { Task } from './task.js';

/** What a step fails with when its worker is gone or going. */
const HOST_GONE = new Set(['HostLost', 'WorkerShutdown', 'HostDetached']);
/** How long a host may be without a worker that left its tasks running: as long as their leases. */
const DETACHED_MS = 600_000;
const HOST_RETURNS_MS = 150_000;

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
      if (failureType(error) === 'HostDetached') task.returnsBy = Date.now() + DETACHED_MS;
      const patienceMs = Math.max(HOST_RETURNS_MS, task.returnsBy - Date.now());
      if (!(await condition(restarted, patienceMs))) throw error;
    }
  }
}
