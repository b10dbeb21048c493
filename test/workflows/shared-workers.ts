import { Context } from '@temporalio/activity';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { stubs, withWorkers, type Stubs } from './stub-host.js';

/** The workers that the tasks of one environment have in common. */
export interface SharedWorkers {
  /** Does the steps of one workflow by `steps` while `test` runs; gives `test` the task queue. */
  serve<T>(workflowId: string, steps: Stubs, test: (taskQueue: string) => Promise<T>): Promise<T>;
  /** Stops them; resolves when none runs any more. */
  close(): Promise<void>;
}

/** Starts them with the first task: four workers for each test cost more than the test. */
export function sharedWorkers(environment: TestWorkflowEnvironment): SharedWorkers {
  const served = new Map<string, Stubs>();
  let running: ReturnType<typeof run> | undefined;
  return {
    async serve(workflowId, steps, test) {
      served.set(workflowId, steps);
      try {
        return await test(await (running ??= run(environment, served)).taskQueue);
      } finally {
        served.delete(workflowId);
      }
    },
    async close() {
      running?.end();
      await running?.over;
    },
  };
}

function run(environment: TestWorkflowEnvironment, served: ReadonlyMap<string, Stubs>) {
  let begin!: (taskQueue: string) => void;
  let end!: () => void;
  const begun = new Promise<string>((resolve) => (begin = resolve));
  const ended = new Promise<void>((resolve) => (end = resolve));
  const over = withWorkers(environment, stepsOf(served), (taskQueue) => {
    begin(taskQueue);
    return ended;
  });
  // Workers that cannot be started are the failure of whoever asked for them.
  return { taskQueue: Promise.race([begun, over.then(() => begun)]), end, over };
}

/** Each is the one of the workflow that asks for it. */
function stepsOf(served: ReadonlyMap<string, Stubs>): Stubs {
  const step = (name: keyof Stubs) => (argument: never) => {
    const { workflowId } = Context.current().info.workflowExecution!;
    const steps = served.get(workflowId);
    if (steps === undefined) throw new Error(`the test of ${workflowId} is over`);
    return (steps[name] as (argument: never) => Promise<unknown>)(argument);
  };
  return Object.fromEntries(
    (Object.keys(stubs([])) as (keyof Stubs)[]).map((name) => [name, step(name)]),
  ) as unknown as Stubs;
}
