import { randomUUID } from 'node:crypto';
import { Worker, type NativeConnection } from '@temporalio/worker';
import { onTestFinished } from 'vitest';
import type { HookArguments, HookName, HookTarget } from '../../src/contract/index.js';

export type Hooks = { [N in HookName]?: (argument: HookArguments[N]) => Promise<unknown> };
interface Call {
  name: string;
  argument: unknown;
}

/** A caller's worker that serves these hooks on a queue of its own; `start` begins to poll. */
export function hookWorkerOn(namespace: string, connection: NativeConnection, served: Hooks) {
  const taskQueue = `hooks-${randomUUID()}`;
  const calls: Call[] = [];
  const recorded = Object.entries(served).map(([name, hook]) => [
    name,
    async (argument: never) => {
      calls.push({ name, argument });
      return (hook as (argument: never) => Promise<unknown>)(argument);
    },
  ]);
  const hooks = Object.fromEntries(
    Object.keys(served).map((name) => [name, { taskQueue, activityType: name }]),
  );
  return {
    calls,
    named: (name: string) => calls.filter((call) => call.name === name).map(({ argument }) => argument),
    hooks: hooks as Partial<Record<HookName, HookTarget>>,
    taskQueue,
    async start() {
      const activities = Object.fromEntries(recorded) as Record<string, () => Promise<unknown>>;
      const worker = await Worker.create({ connection, namespace, taskQueue, activities });
      const running = worker.run();
      onTestFinished(async () => {
        worker.shutdown();
        await running;
      });
    },
  };
}
