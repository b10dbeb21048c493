import { randomUUID } from 'node:crypto';
import type { Priority } from '@temporalio/common';
import { temporal } from '@temporalio/proto';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import { claimQueueOf, CODEX_TASK } from '../../src/contract/index.js';
import { findTemporalCli } from '../../src/dev/temporal/choose-temporal.js';
import { runDevServer } from '../../src/dev/temporal/run-dev-server.js';
import { testFolder } from '../support/folders.js';
import { quietRuntime } from '../support/quiet-runtime.js';
import { stackOptions } from '../support/shared-servers.js';
import { until } from '../support/until.js';
import type { Handle } from './run-task.js';
import { freshQueue, stubs, untilCancelled, withWorkers } from './stub-host.js';

/** Each of several partitions of a queue has an order of its own. */
const ONE_PARTITION = {
  'matching.numTaskqueueReadPartitions': 1,
  'matching.numTaskqueueWritePartitions': 1,
};

type Queue = { taskQueue: { name: string }; taskQueueType: temporal.api.enums.v1.TaskQueueType };
const { TASK_QUEUE_TYPE_ACTIVITY, TASK_QUEUE_TYPE_WORKFLOW } = temporal.api.enums.v1.TaskQueueType;

async function ownServer(settings: Record<string, number | boolean> = {}): Promise<TestWorkflowEnvironment> {
  quietRuntime();
  const options = stackOptions(await testFolder(), new AbortController().signal);
  const dynamicConfig = { ...ONE_PARTITION, ...settings };
  const server = await runDevServer(await findTemporalCli(options), options, ['default'], dynamicConfig);
  onTestFinished(server.close);
  const environment = await TestWorkflowEnvironment.createFromExistingServer(server);
  onTestFinished(() => environment.teardown());
  return environment;
}

/** Workers that take one workflow task, and one step of a queue, after the other. */
const one = { maxConcurrentActivityTaskExecutions: 1 };
const oneByOne = (taskQueue: string) => ({
  taskQueue,
  workflows: { ...one, maxConcurrentWorkflowTaskExecutions: 2, maxConcurrentWorkflowTaskPolls: 2 },
  steps: one,
});

const startWith = async (
  { client }: TestWorkflowEnvironment,
  taskQueue: string,
  priority: Priority,
): Promise<Handle> =>
  client.workflow.start(CODEX_TASK, {
    taskQueue,
    workflowId: `task-${randomUUID()}`,
    args: [{ prompt: 'x' }],
    priority,
  });

/** Resolves when so many tasks of a queue wait in the server for a worker. */
const untilWaiting = ({ client }: TestWorkflowEnvironment, queue: Queue, count: number) =>
  until(`${count} tasks in ${queue.taskQueue.name}`, async () => {
    const asked = { ...queue, namespace: 'default', reportStats: true };
    const { stats } = await client.workflowService.describeTaskQueue(asked);
    return Number(stats?.approximateBacklogCount ?? 0) >= count;
  });

/** When the server gave out a task's first workflow task, nanoseconds. */
async function begunAt(handle: Handle): Promise<bigint> {
  const { events } = await handle.fetchHistory();
  const { eventTime } = events!.find((event) => event.workflowTaskStartedEventAttributes)!;
  return BigInt(String(eventTime!.seconds)) * 1_000_000_000n + BigInt(eventTime!.nanos ?? 0);
}

/** Of tasks that were there before any worker, in the order in which they begin. */
async function begun(environment: TestWorkflowEnvironment, priorities: Priority[]): Promise<Priority[]> {
  const taskQueue = freshQueue();
  const tasks: { priority: Priority; handle: Handle }[] = [];
  for (const priority of priorities)
    tasks.push({ priority, handle: await startWith(environment, taskQueue, priority) });
  const queue = { taskQueue: { name: taskQueue }, taskQueueType: TASK_QUEUE_TYPE_WORKFLOW };
  await untilWaiting(environment, queue, tasks.length);
  const test = () => Promise.all(tasks.map(({ handle }) => handle.result()));
  await withWorkers(environment, asActivities(stubs([])), test, oneByOne(taskQueue));
  const times = await Promise.all(tasks.map(async (task) => ({ ...task, at: await begunAt(task.handle) })));
  return times.sort((a, b) => (a.at < b.at ? -1 : 1)).map(({ priority }) => priority);
}

const keys = (...priorityKeys: number[]) => priorityKeys.map((priorityKey) => ({ priorityKey }));
const fair = (names: string) => [...names].map((fairnessKey) => ({ fairnessKey }));

describe('Temporal’s priorities', () => {
  it('order tasks that no worker has started, and tasks that wait for a place', async () => {
    const environment = await ownServer();
    expect(await begun(environment, keys(5, 3, 1, 5, 3, 1))).toEqual(keys(1, 1, 3, 3, 5, 5));

    const taskQueue = freshQueue();
    const claimed: string[] = [];
    let free = () => {};
    const freed = new Promise<void>((resolve) => (free = resolve));
    const steps = stubs([], {
      claimHost: async ({ taskId }) => {
        claimed.push(taskId);
        // The first one has the only slot until the others wait.
        await Promise.race([freed, untilCancelled()]);
        return { hostId: 'unset' };
      },
    });
    const test = async () => {
      const first = await startWith(environment, taskQueue, {});
      await until('its claim', () => claimed.length === 1);
      const waiting: Handle[] = [];
      for (const key of keys(5, 3, 1)) waiting.push(await startWith(environment, taskQueue, key));
      const claims = { name: claimQueueOf(taskQueue) };
      const queue = { taskQueue: claims, taskQueueType: TASK_QUEUE_TYPE_ACTIVITY };
      await untilWaiting(environment, queue, waiting.length);
      free();
      await Promise.all([first, ...waiting].map((handle) => handle.result()));
      expect(claimed.slice(1)).toEqual(waiting.reverse().map(({ workflowId }) => workflowId));
    };
    await withWorkers(environment, asActivities(steps), test, oneByOne(taskQueue));
  });

  it.each([
    [{}, 'aaaaaabb'],
    [{ 'matching.enableFairness': true }, 'ababaaaa'],
  ])('serve fairness keys in turn only when the server is set to: %j', async (setting, order) => {
    const environment = await ownServer(setting);
    expect(await begun(environment, fair('aaaaaabb'))).toEqual(fair(order));
  });
});
