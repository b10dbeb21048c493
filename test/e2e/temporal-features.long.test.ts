import { randomUUID } from 'node:crypto';
import { Client } from '@temporalio/client';
import { defaultPayloadConverter, type Priority } from '@temporalio/common';
import { msToTs } from '@temporalio/common/lib/time.js';
import { temporal } from '@temporalio/proto';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { TaskHandle } from '../../src/client/index.js';
import { CODEX_TASK, DEFAULT_TASK_QUEUE } from '../../src/contract/index.js';
import { modelProvider } from '../../src/dev/model-server.js';
import { operatorToken } from '../../src/listener-secret.js';
import { until } from '../support/until.js';
import { useRealStack } from './real-stack.js';
import { inState, realTasks } from './real-tasks.js';

const stack = useRealStack(() => ({ CODEX_TASK_MAX_SESSIONS: '1' }));
const { newSeed } = realTasks(() => stack);
const { TASK_QUEUE_TYPE_NEXUS } = temporal.api.enums.v1.TaskQueueType;
const { TIMEOUT_TYPE_SCHEDULE_TO_CLOSE } = temporal.api.enums.v1.TimeoutType;
const { COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION } = temporal.api.enums.v1.CommandType;

/** Starts a conversation as another SDK would. */
async function start(options: { priority?: Priority; pool?: string }, { workflow } = stack.temporal.client) {
  const { priority, pool } = options;
  const taskId = `task-${randomUUID()}`;
  const credential = pool === undefined ? { none: true } : { pool };
  const codexConfig = modelProvider(stack.model.url);
  await workflow.start(CODEX_TASK, {
    taskQueue: DEFAULT_TASK_QUEUE,
    workflowId: taskId,
    args: [{ mode: 'conversation', credential, codexConfig }],
    ...(priority && { priority }),
  });
  return stack.client.handle(taskId);
}

async function close(task: TaskHandle): Promise<void> {
  await task.close();
  expect(await task.result()).toMatchObject({ outcome: 'closed' });
}

/** Those that are free, and those in use. */
const slotsOf = (info: temporal.api.worker.v1.IWorkerSlotsInfo | null | undefined) =>
  (info?.currentAvailableSlots ?? 0) + (info?.currentUsedSlots ?? 0);

describe('features of Temporal that the package leaves alone', () => {
  it('a seed goes to the task that waited longest, whatever their priorities', async () => {
    const pool = randomUUID();
    await newSeed(pool);
    const holder = await start({ pool });
    await inState(holder, 'idle');
    const late = await start({ pool, priority: { priorityKey: 5, fairnessKey: 'late' } });
    await inState(late, 'waiting-for-credential');
    const urgent = await start({ pool, priority: { priorityKey: 1, fairnessKey: 'urgent' } });
    await inState(urgent, 'waiting-for-credential');
    await close(holder);
    await inState(late, 'idle');
    expect((await urgent.status()).state).toBe('waiting-for-credential');
    await close(late);
    await inState(urgent, 'idle');
    await close(urgent);
  });

  it('no worker takes a Nexus operation on the task queue, and it times out', async () => {
    const { connection, namespace } = stack.temporal;
    const { workflow, workflowService } = stack.temporal.client;
    const { operatorService } = connection;
    const endpoint = `codex-${randomUUID()}`;
    await operatorService.createNexusEndpoint({
      spec: { name: endpoint, target: { worker: { namespace, taskQueue: DEFAULT_TASK_QUEUE } } },
    });

    // A caller's workflow, by hand: one workflow task that asks for the operation.
    const taskQueue = `callers-${randomUUID()}`;
    const caller = await workflow.start('caller', { taskQueue, workflowId: taskQueue });
    onTestFinished(() => caller.terminate().then(() => undefined));
    const { taskToken } = await connection.withDeadline(Date.now() + 60_000, () =>
      workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: taskQueue } }),
    );
    await workflowService.respondWorkflowTaskCompleted({
      namespace,
      taskToken,
      commands: [
        {
          commandType: COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION,
          scheduleNexusOperationCommandAttributes: {
            endpoint,
            service: 'codex',
            operation: 'start',
            scheduleToCloseTimeout: msToTs('10s'),
          },
        },
      ],
    });
    // Whatever was begun of it would be said before its end.
    const [first] = await until('what becomes of it', async () => {
      const { events } = await caller.fetchHistory();
      const rest = events!.slice(
        events!.findIndex((each) => each.nexusOperationScheduledEventAttributes) + 1,
      );
      return rest.length > 0 && rest;
    });
    const { cause } = first!.nexusOperationTimedOutEventAttributes!.failure!;
    expect(cause?.timeoutFailureInfo?.timeoutType).toBe(TIMEOUT_TYPE_SCHEDULE_TO_CLOSE);
    const { pollers } = await workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name: DEFAULT_TASK_QUEUE },
      taskQueueType: TASK_QUEUE_TYPE_NEXUS,
    });
    expect(pollers).toEqual([]);
  });

  it('a tracing header reaches no activity, and the metrics are the worker’s own', async () => {
    const { connection, namespace } = stack.temporal;
    const traced = new Client({
      connection,
      namespace,
      interceptors: {
        workflow: [
          {
            startWithDetails: (input, next) => {
              const context = defaultPayloadConverter.toPayload({ traceparent: '00-1-2-01' });
              return next({ ...input, headers: { ...input.headers, '_tracer-data': context } });
            },
          },
        ],
      },
    });
    const task = await start({}, traced);
    await inState(task, 'idle');
    await close(task);
    const { events } = await traced.workflow.getHandle(task.taskId).fetchHistory();
    const { header } = events![0]!.workflowExecutionStartedEventAttributes!;
    expect(Object.keys(header?.fields ?? {})).toContain('_tracer-data');
    const steps = events!.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []);
    expect(steps.length).toBeGreaterThan(5);
    expect(steps.flatMap((step) => Object.keys(step.header?.fields ?? {}))).toEqual([]);

    const secret = await stack.listenerSecret();
    const answer = await fetch(`${stack.line.listenerUrl}/metrics`, {
      headers: { authorization: `Bearer ${operatorToken(secret)}` },
    });
    const names = [...(await answer.text()).matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(3);
    expect(names.filter((name) => !name.startsWith('codex_task_'))).toEqual([]);
  });

  it('a worker has the SDK’s slots and pollers, and its own number of tasks', async () => {
    const first = await start({});
    await inState(first, 'idle');
    const second = await start({});
    await inState(second, 'waiting-for-host');
    await close(first);
    await inState(second, 'idle');
    await close(second);

    const { workflowService } = stack.temporal.client;
    const { namespace } = stack.line.temporal;
    // The SDK tells of its workers once a minute.
    const worker = await until(
      'the worker of the workflows',
      async () => {
        const { workersInfo } = await workflowService.listWorkers({ namespace, pageSize: 100 });
        return workersInfo.find(({ workerHeartbeat }) => workerHeartbeat?.taskQueue === DEFAULT_TASK_QUEUE)
          ?.workerHeartbeat;
      },
      120_000,
    );
    expect(slotsOf(worker.workflowTaskSlotsInfo)).toBe(40);
    expect(slotsOf(worker.localActivitySlotsInfo)).toBe(100);
    const pollers = [worker.workflowPollerInfo, worker.workflowStickyPollerInfo, worker.activityPollerInfo];
    const [fresh, sticky, steps] = pollers.map((info) => info?.currentPollers ?? 0);
    expect([fresh! + sticky!, steps!].every((count) => count > 0 && count <= 10)).toBe(true);
    expect(worker.nexusPollerInfo?.currentPollers ?? 0).toBe(0);
  });
});
