import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, Worker, type WorkflowBundle } from '@temporalio/worker';
import { beforeAll, describe, expect, it } from 'vitest';
import { asActivities } from '../../src/activities/as-activity.js';
import type { Delivery } from '../../src/contract/activities.js';
import { connectLocal } from '../support/temporal.js';
import { until } from '../support/until.js';
import { saveHistory } from './histories.js';
import { useTemporal } from './run-task.js';
import { ended, freshQueue, report, stubs, untilCancelled, withWorkers, type Stubs } from './stub-host.js';

const temporal = useTemporal(connectLocal);

let bundle: WorkflowBundle;
beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('callers/review-task.ts', import.meta.url));
  bundle = await bundleWorkflowCode({ workflowsPath });
});

/** A session that ends when it is closed or has a message, and tells what it was delivered. */
function closingSession() {
  const deliveries: Delivery[] = [];
  let close: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => (close = resolve));
  return {
    deliveries,
    steps: {
      followSession: () => Promise.race([closed.then(() => ended('closed')), untilCancelled()]),
      deliver: async (delivery) => {
        deliveries.push(delivery);
        if (delivery.close || delivery.messages.length > 0) close();
        return report('idle');
      },
    } satisfies Partial<Stubs>,
  };
}

/** Runs a caller's workflow on its own queue beside workers for the tasks. */
async function withCaller(
  overrides: Partial<Stubs>,
  test: (
    call: (type: string, ...args: unknown[]) => ReturnType<typeof startCaller>,
    calls: string[],
  ) => Promise<void>,
): Promise<void> {
  const calls: string[] = [];
  await withWorkers(temporal.environment, asActivities(stubs(calls, overrides)), async (taskQueue) => {
    const { nativeConnection: connection, namespace = 'default' } = temporal.environment;
    const ownQueue = freshQueue();
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue: ownQueue,
      workflowBundle: bundle,
      debugMode: true,
    });
    await worker.runUntil(() => test((type, ...args) => startCaller(ownQueue, taskQueue, type, args), calls));
  });
}

async function startCaller(ownQueue: string, taskQueue: string, type: string, args: unknown[]) {
  const { client } = temporal.environment;
  const taskId = `child-${randomUUID()}`;
  const workflowId = `caller-${randomUUID()}`;
  const caller = await client.workflow.start(type, {
    taskQueue: ownQueue,
    workflowId,
    args: [taskQueue, taskId, ...args],
  });
  return { caller, task: client.workflow.getHandle(taskId) };
}

describe('a task that is a child workflow', () => {
  it('takes signals of its parent and returns its result to it', async () => {
    const { deliveries, steps } = closingSession();
    await withCaller(steps, async (call) => {
      const { caller, task } = await call('askTwice');
      expect(await caller.result()).toMatchObject({ outcome: 'closed', finalMessage: 'done' });
      const texts = deliveries.flatMap(({ messages }) => messages.map(({ text }) => text));
      expect(texts).toEqual(['Look at it once more']);
      await saveHistory(temporal.environment.client, task.workflowId, 'child-task');
    });
  });

  it('is cancelled with its parent, and tears down before that continues', async () => {
    await withCaller(closingSession().steps, async (call, calls) => {
      const { caller } = await call('waitFor');
      await until('its session', () => calls.includes('followSession'));
      await caller.cancel();
      expect(await caller.result()).toBe('cancelled');
      expect(calls).toEqual(
        expect.arrayContaining(['endSession', 'takeSnapshot', 'closeTask', 'releaseLease']),
      );
    });
  });

  it('outlives its parent with ABANDON, and is cancelled with REQUEST_CANCEL', async () => {
    await withCaller(closingSession().steps, async (call) => {
      const [left, cancelled] = await Promise.all([
        call('leaveBehind', 'ABANDON'),
        call('leaveBehind', 'REQUEST_CANCEL'),
      ]);
      await Promise.all([left.caller.result(), cancelled.caller.result()]);
      await expect(cancelled.task.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
      expect((await left.task.describe()).status.name).toBe('RUNNING');
      await left.task.signal('close');
      expect(await left.task.result()).toMatchObject({ outcome: 'closed' });
    });
  });
});
